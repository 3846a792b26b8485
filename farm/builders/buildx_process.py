"""A docker-buildx process: start it, read its progress as it arrives, wait for its end.

It prints BuildKit's progress as JSON objects, between lines of text:
https://github.com/moby/buildkit/blob/master/client/graph.go (SolveStatus)
"""

from __future__ import annotations

import base64
import subprocess
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import IO, TYPE_CHECKING, Any

from farm.buildkit.connection import json_object
from farm.buildkit.status_messages import Trace, Vertex, VertexLog, VertexStatus, VertexWarning
from farm.errors import ContextError
from farm.model.strict_json import shown, text_of
from farm.system.processes import DIE_WITH_PARENT

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

LONGEST = 1 << 24
"""Bytes of one object; BuildKit sends a build's whole log in objects of some kilobytes."""
_CHUNK = 1 << 16
_EXIT_TIMEOUT = 10.0
"""Seconds that buildx may take to exit after it has closed its output."""


@contextmanager
def start(
    command_line: Sequence[str], environment: Mapping[str, str], context: IO[bytes]
) -> Iterator[BuildxProcess]:
    """Run buildx with a context as standard input; leaving this early kills it, which cancels the build."""
    try:
        # A second open file description, at the start: the position in the file belongs to the description.
        with open(f"/proc/self/fd/{context.fileno()}", "rb") as stdin:  # noqa: PTH123 - no path, but a descriptor
            process = subprocess.Popen(
                [*DIE_WITH_PARENT, *command_line],
                env=dict(environment),
                stdin=stdin,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                bufsize=0,
            )
    except OSError as error:
        raise ContextError(f"the build context cannot be read: {error}") from error
    assert process.stderr is not None  # noqa: S101 - a pipe was asked for
    with process.stderr as pipe:
        try:
            yield BuildxProcess(process, pipe)
        finally:
            process.kill()
            process.wait()


class BuildxProcess:
    """A running buildx as a source of messages; `ended` once it has closed its output."""

    def __init__(self, process: subprocess.Popen[bytes], pipe: IO[bytes]) -> None:
        self.ended = False
        self._process = process
        self._pipe = pipe
        self._parser = OutputParser()

    def fileno(self) -> int:
        """The descriptor that a selector waits on."""
        return self._pipe.fileno()

    def receive(self) -> list[dict[str, Any] | str]:
        """Wait for output, and return the complete objects and lines."""
        data = self._pipe.read(_CHUNK)
        if data:
            return list(self._parser.feed(data))
        self.ended = True
        return list(self._parser.flush())

    def status(self) -> int:
        """The exit status; negative for the signal that killed it."""
        try:
            return self._process.wait(_EXIT_TIMEOUT)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()


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
            yield from _parsed([line])
            return
        self.open_object.append(line)
        self.open_size += len(line)
        if line.rstrip() == b"}" or self.open_size > LONGEST:
            lines, self.open_object, self.open_size = self.open_object, [], 0
            yield from _parsed(lines)


def _parsed(lines: list[bytes]) -> list[dict[str, Any]] | list[str]:
    """The progress object of these lines; the lines if they are none."""
    data = json_object(b"\n".join(lines)) if lines[0].startswith(b"{") else None
    return [line.decode(errors="replace") for line in lines] if data is None else [data]


def read_status(data: dict[str, Any]) -> Trace:
    """Read a progress object, a `SolveStatus`; raises ValueError if it is none."""
    try:
        return Trace(
            tuple(_vertex(item) for item in data.get("vertexes") or ()),
            tuple(_status(item) for item in data.get("statuses") or ()),
            tuple(_log(item) for item in data.get("logs") or ()),
            tuple(_warning(item) for item in data.get("warnings") or ()),
        )
    except (KeyError, TypeError, AttributeError, OverflowError) as error:
        raise ValueError(f"not a progress message: {error!r}") from error


def _vertex(item: dict[str, Any]) -> Vertex:
    started, completed = _seconds(item.get("started")), _seconds(item.get("completed"))
    cached, error = bool(item.get("cached")), text_of(item.get("error", ""))
    return Vertex(
        text_of(item["digest"]), text_of(item.get("name", "")), cached, started, completed, error
    ).shortened()


def _status(item: dict[str, Any]) -> VertexStatus:
    name = text_of(item["id"]) or text_of(item.get("name", ""))
    current, completed = _int64(item.get("current", 0)), _seconds(item.get("completed"))
    return VertexStatus(text_of(item["vertex"]), name, current, completed)


def _log(item: dict[str, Any]) -> VertexLog:
    seconds = _seconds(item.get("timestamp")) or 0.0
    stream = int(item.get("stream", 1))
    return VertexLog(text_of(item["vertex"]), seconds, _decoded(item.get("data")), stream)


def _warning(item: dict[str, Any]) -> VertexWarning:
    return VertexWarning(text_of(item["vertex"]), _decoded(item.get("short")).decode(errors="replace"))


def _int64(value: Any) -> int:
    """A count as Go writes it; beyond it, the sums of a build could be no number any more."""
    if not -(1 << 63) <= int(value) < 1 << 63:
        raise ValueError(f"{shown(value)} is out of range")
    return int(value)


def _decoded(text: str | None) -> bytes:
    return base64.b64decode(text or "")


def _seconds(text: str | None) -> float | None:
    """A time in Go's JSON format as seconds since 1970."""
    return datetime.fromisoformat(text).timestamp() if text else None
