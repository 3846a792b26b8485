"""The log of a build, line by line, as `docker build --progress=plain` writes it.

https://github.com/moby/buildkit/blob/master/util/progress/progressui/printer.go
"""

from __future__ import annotations

import re
from collections import deque
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, TypeVar

from farm.buildkit.status_messages import STDERR, Trace, VertexLog

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from farm.buildkit.status_messages import Vertex, VertexStatus

T = TypeVar("T")

LONGEST_LINE = 2000
"""Characters of one line; the rest is cut off."""
_LONGEST_BUFFER = 4 * LONGEST_LINE
"""Bytes kept of a line that does not end: at four bytes a character, enough for the longest."""
_TAIL = 20
_MOST_STEPS, _MOST_STATUSES = 5_000, 50_000
"""What is remembered of a build; an engine that reports more is not believed."""
_SIMULTANEOUS = 0.05
"""Seconds within which the order of two lines on different streams is the scheduler's, not the program's."""
_KILOBYTE = 1000
"""Bytes, as docker counts."""
_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\-_])")
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_OPTIONAL_STEP = re.compile(r"^importing cache manifest from |^exporting cache to ")
_CANCELLED = re.compile(r"context cancell?ed", re.IGNORECASE)


@dataclass(slots=True)
class BuildStep:
    """One step of the build: its number in the log, its state, and the end of its output."""

    number: int
    vertex: Vertex
    header_shown: bool = False
    ended: bool = False
    unfinished: dict[int, VertexLog] = field(default_factory=dict)
    """The incomplete last line of each stream."""
    last: VertexLog | None = None
    """The last line that was not blank; of simultaneous ones, one on stderr."""
    tail: deque[str] = field(default_factory=lambda: deque(maxlen=_TAIL))
    """The last lines of both streams."""

    @property
    def last_line(self) -> str:
        """The step's last line of output."""
        return _final_text(self.last.data).strip() if self.last else ""


@dataclass(slots=True)
class Progress:
    """Turns traces into lines of a log; keeps the steps, of which one may have failed."""

    steps: dict[str, BuildStep] = field(default_factory=dict)
    completed: set[tuple[str, str]] = field(default_factory=set)
    """Steps and what they have reported as done: BuildKit repeats it in later messages."""

    def feed(self, trace: Trace) -> Iterator[str]:
        """Yield the lines that a trace adds to the log, grouped by step."""
        vertexes = _by_step(trace.vertexes, lambda item: item.digest)
        statuses = _by_step(trace.statuses, lambda item: item.vertex)
        logs = _by_step(trace.logs, lambda item: item.vertex)
        warnings = _by_step(trace.warnings, lambda item: item.vertex)
        for digest in dict.fromkeys([*vertexes, *statuses, *logs, *warnings]):
            part = Trace(
                tuple(vertexes.get(digest, ())),
                tuple(statuses.get(digest, ())),
                tuple(logs.get(digest, ())),
                tuple(warnings.get(digest, ())),
            )
            yield from self._feed_step(part, digest)

    def failed(self) -> BuildStep | None:
        """The step that made the build fail, rather than one that was cancelled when another failed.

        A step that reads or writes a cache does not fail a build.
        """
        failed = [
            step
            for step in self.steps.values()
            if step.vertex.error and not _OPTIONAL_STEP.match(step.vertex.name)
        ]
        causes = [step for step in failed if not _CANCELLED.search(step.vertex.error)]
        return next(iter(causes or failed), None)

    def flush(self) -> Iterator[str]:
        """Yield the output that did not end with a newline."""
        for step in self.steps.values():
            yield from _flush(step)

    def _feed_step(self, trace: Trace, digest: str) -> Iterator[str]:
        """Yield the lines of what a trace says of one step."""
        for vertex in trace.vertexes:
            yield from self._update(vertex)
        step = self.steps.get(digest)
        if step is None:
            return
        for status in trace.statuses:
            yield from self._status(step, status)
        for log in trace.logs:
            yield from _output(step, log)
        for warning in trace.warnings:
            yield _line(step, f"WARN: {warning.text}")
        yield from _end(step)

    def _update(self, vertex: Vertex) -> Iterator[str]:
        is_excessive = len(self.steps) >= _MOST_STEPS or len(vertex.digest) > LONGEST_LINE
        if vertex.digest not in self.steps and is_excessive:
            return
        step = self.steps.setdefault(vertex.digest, BuildStep(len(self.steps) + 1, vertex))
        # A message that says only "cancelled" does not repeat start and error.
        started, error = vertex.started or step.vertex.started, vertex.error or step.vertex.error
        step.vertex = replace(vertex, started=started, error=error)
        if vertex.started or vertex.completed or vertex.cached:
            yield from _header(step)

    def _status(self, step: BuildStep, status: VertexStatus) -> Iterator[str]:
        if status.completed is None or (status.vertex, status.name) in self.completed:
            return
        if len(self.completed) < _MOST_STATUSES and len(status.name) < LONGEST_LINE:
            self.completed.add((status.vertex, status.name))
        size = f" {_size(status.current)}" if status.current else ""
        yield from _header(step)
        yield _line(step, f"{status.name}{size} done")


def readable(text: str) -> str:
    """Return a line without escapes and control characters, cut to LONGEST_LINE: safe for any terminal."""
    plain = _CONTROLS.sub("", _ESCAPES.sub("", text)).rstrip()
    return plain if len(plain) <= LONGEST_LINE else f"{plain[: LONGEST_LINE - 1]}…"


def _by_step(items: Iterable[T], step_of: Callable[[T], str]) -> dict[str, list[T]]:
    """The items of each step, by its digest."""
    found: dict[str, list[T]] = {}
    for item in items:
        found.setdefault(step_of(item), []).append(item)
    return found


def _header(step: BuildStep) -> Iterator[str]:
    if not step.header_shown:
        step.header_shown = True
        yield _line(step, step.vertex.name)


def _output(step: BuildStep, log: VertexLog) -> Iterator[str]:
    yield from _header(step)
    rest = step.unfinished.pop(log.stream, None)
    *lines, end = ((rest.data if rest else b"") + log.data).split(b"\n")
    for line in lines:
        yield from _show(step, replace(log, data=line))
    if end:
        step.unfinished[log.stream] = replace(log, data=end[:_LONGEST_BUFFER])


def _end(step: BuildStep) -> Iterator[str]:
    if not step.ended and step.vertex.completed is not None:
        step.ended = True
        yield from _flush(step)
        yield _line(step, _summary(step.vertex))


def _summary(vertex: Vertex) -> str:
    if vertex.error:
        return "CANCELED" if _CANCELLED.search(vertex.error) else f"ERROR: {vertex.error}"
    if vertex.cached:
        return "CACHED"
    return f"DONE {(vertex.completed or 0) - (vertex.started or vertex.completed or 0):.1f}s"


def _show(step: BuildStep, line: VertexLog) -> Iterator[str]:
    text = _final_text(line.data)
    step.tail.append(text)
    if text.strip() and not _less_telling(line, step.last):
        step.last = line
    elapsed = max(line.time - (step.vertex.started or line.time), 0)
    yield _line(step, f"{elapsed:.3f} {text}")


def _final_text(data: bytes) -> str:
    """A line as a terminal shows it in the end: of a progress bar, the last state."""
    return readable(data.decode(errors="replace").rstrip("\r").rpartition("\r")[2])


def _less_telling(line: VertexLog, last: VertexLog | None) -> bool:
    """Whether the last line is a simultaneous one on stderr, which says more about a failure."""
    return last is not None and last.stream == STDERR != line.stream and line.time - last.time < _SIMULTANEOUS


def _flush(step: BuildStep) -> Iterator[str]:
    for rest in step.unfinished.values():
        yield from _show(step, rest)
    step.unfinished.clear()


def _line(step: BuildStep, text: str) -> str:
    return readable(f"#{step.number} {' '.join(text.splitlines())}")


def _size(count: float) -> str:
    for unit in ("B", "kB", "MB"):
        if count < _KILOBYTE:
            return f"{count:.3g}{unit}"
        count /= _KILOBYTE
    return f"{count:.3g}GB"
