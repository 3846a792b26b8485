"""The output of buildx --progress=rawjson: BuildKit's progress as JSON objects, between lines of text.

https://github.com/moby/buildkit/blob/master/client/graph.go (SolveStatus)
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from farm.buildkit.status_messages import Trace, Vertex, VertexLog, VertexStatus, VertexWarning

if TYPE_CHECKING:
    from collections.abc import Iterator

LONGEST = 1 << 24
"""Bytes of one object; BuildKit sends a build's whole log in objects of some kilobytes."""


@dataclass(slots=True)
class OutputParser:
    """Splits the output, as it arrives, into objects (as dictionaries) and other lines (as text)."""

    rest: bytes = b""
    open_object: list[bytes] = field(default_factory=list)
    """The lines of an incomplete object: buildx 0.13 writes one on several lines, later versions on one."""
    open_size: int = 0

    def feed(self, data: bytes) -> Iterator[dict[str, Any] | str]:
        """Yield the objects and lines that are complete now."""
        *lines, self.rest = (self.rest + data).split(b"\n")
        if len(self.rest) > LONGEST:
            lines, self.rest = [*lines, self.rest], b""
        for line in lines:
            yield from self._line(line)

    def flush(self) -> Iterator[dict[str, Any] | str]:
        """Yield the incomplete rest as lines."""
        lines, self.rest, self.open_object = [*self.open_object, self.rest], b"", []
        yield from (line.decode(errors="replace") for line in lines if line.strip())

    def _line(self, line: bytes) -> Iterator[dict[str, Any] | str]:
        if not self.open_object and line.rstrip() != b"{":
            parsed = _parsed(line)
            yield line.decode(errors="replace") if parsed is None else parsed
            return
        self.open_object.append(line)
        self.open_size += len(line)
        if line.rstrip() == b"}" or self.open_size > LONGEST:
            lines, self.open_object, self.open_size = self.open_object, [], 0
            parsed = _parsed(b"\n".join(lines))
            yield from [one.decode(errors="replace") for one in lines] if parsed is None else [parsed]


def _parsed(text: bytes) -> dict[str, Any] | None:
    """A progress object; None for any other line."""
    if not text.startswith(b"{"):
        return None
    try:
        data = json.loads(text)
    except ValueError:
        return None
    return data if isinstance(data, dict) else None


def read_status(data: dict[str, Any]) -> Trace:
    """Read a progress object, a `SolveStatus`.

    Raises:
        ValueError: the object is not a progress message.
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
        raise ValueError(f"not a progress message: {error!r}") from error


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
    """A time in Go's JSON format as seconds since 1970."""
    return datetime.fromisoformat(text).timestamp() if text else None
