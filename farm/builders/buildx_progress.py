"""What buildx prints with --progress=rawjson: BuildKit's progress as JSON objects, and plain lines."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from farm.buildkit.trace import Trace, Vertex, VertexLog, VertexStatus, VertexWarning

if TYPE_CHECKING:
    from collections.abc import Iterator

LONGEST = 1 << 24
"""Bytes of one object; BuildKit sends a build's whole log in objects of some kilobytes."""


@dataclass(slots=True)
class Splitter:
    """Takes the output piece by piece; gives its objects as dictionaries and its other lines as text."""

    rest: bytes = b""
    opened: list[bytes] = field(default_factory=list)
    """The lines of an object that is not complete; buildx 0.13 indents them, later ones write one line."""
    held: int = 0

    def feed(self, data: bytes) -> Iterator[dict[str, Any] | str]:
        """What is complete now."""
        *lines, self.rest = (self.rest + data).split(b"\n")
        if len(self.rest) > LONGEST:
            lines, self.rest = [*lines, self.rest], b""
        for line in lines:
            yield from self._line(line)

    def flush(self) -> Iterator[dict[str, Any] | str]:
        """What is left at the end."""
        lines, self.rest, self.opened = [*self.opened, self.rest], b"", []
        yield from (line.decode(errors="replace") for line in lines if line.strip())

    def _line(self, line: bytes) -> Iterator[dict[str, Any] | str]:
        if not self.opened and line.rstrip() != b"{":
            parsed = _parsed(line)
            yield line.decode(errors="replace") if parsed is None else parsed
            return
        self.opened.append(line)
        self.held += len(line)
        if line.rstrip() == b"}" or self.held > LONGEST:
            lines, self.opened, self.held = self.opened, [], 0
            parsed = _parsed(b"\n".join(lines))
            yield from [one.decode(errors="replace") for one in lines] if parsed is None else [parsed]


def _parsed(text: bytes) -> dict[str, Any] | None:
    """An object of progress; None for a line that is none."""
    if not text.startswith(b"{"):
        return None
    try:
        data = json.loads(text)
    except ValueError:
        return None
    return data if isinstance(data, dict) else None


def read_status(data: dict[str, Any]) -> Trace:
    """The trace that an object tells.

    Raises:
        ValueError: it is no progress of BuildKit's.
    """
    try:
        return Trace(
            tuple(_vertex(item) for item in data.get("vertexes") or ()),
            tuple(_status(item) for item in data.get("statuses") or ()),
            tuple(_log(item) for item in data.get("logs") or ()),
            tuple(
                VertexWarning(item["vertex"], _decoded(item.get("short")).decode(errors="replace"))
                for item in data.get("warnings") or ()
            ),
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"no progress of BuildKit's: {error!r}") from error


def _vertex(item: dict[str, Any]) -> Vertex:
    return Vertex(
        item["digest"],
        item.get("name", ""),
        bool(item.get("cached")),
        _seconds(item.get("started")),
        _seconds(item.get("completed")),
        item.get("error", ""),
    )


def _status(item: dict[str, Any]) -> VertexStatus:
    name = item["id"] or item.get("name", "")
    return VertexStatus(item["vertex"], name, item.get("current", 0), _seconds(item.get("completed")))


def _log(item: dict[str, Any]) -> VertexLog:
    seconds = _seconds(item.get("timestamp")) or 0.0
    return VertexLog(item["vertex"], seconds, _decoded(item.get("data")), item.get("stream", 1))


def _decoded(text: str | None) -> bytes:
    return base64.b64decode(text or "")


def _seconds(text: str | None) -> float | None:
    """A time with nanoseconds, as Go writes it, as seconds since 1970."""
    return datetime.fromisoformat(text).timestamp() if text else None
