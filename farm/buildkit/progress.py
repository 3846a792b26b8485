"""The log of a build, line by line, as `docker build --progress=plain` writes it."""

from __future__ import annotations

import re
from collections import deque
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from farm.buildkit.trace import STDERR, Output

if TYPE_CHECKING:
    from collections.abc import Iterator

    from farm.buildkit.trace import Trace, Transfer, Vertex

LONGEST_LINE = 2000
"""Characters of one line; the rest is cut off."""
_LONGEST_BUFFER = 4 * LONGEST_LINE
"""Bytes kept of a line that does not end: at four bytes a character, enough for the longest."""
_TAIL = 20
_AT_ONCE = 0.05
"""Seconds within which the order of two lines on different streams is the scheduler's, not the program's."""
_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\-_])")
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_HARMLESS = re.compile(r"^importing cache manifest from |^exporting cache to ")
_CUT_SHORT = re.compile(r"context cancell?ed", re.IGNORECASE)


@dataclass(slots=True)
class Step:
    """One step of the build: its number in the log, how it stands, and what it printed last."""

    number: int
    vertex: Vertex
    shown: bool = False
    ended: bool = False
    unfinished: dict[int, Output] = field(default_factory=dict)
    """The end of each stream that is no whole line yet."""
    last: Output | None = None
    """The last line that was not blank; of several at once, one on stderr."""
    tail: deque[str] = field(default_factory=lambda: deque(maxlen=_TAIL))
    """The last lines, whichever their stream."""

    @property
    def last_line(self) -> str:
        """What the step said last."""
        return _standing(self.last.data).strip() if self.last else ""


@dataclass(slots=True)
class Progress:
    """Turns traces into lines; keeps the steps, of which one may have failed."""

    steps: dict[str, Step] = field(default_factory=dict)
    finished: set[tuple[str, str]] = field(default_factory=set)

    def feed(self, trace: Trace) -> Iterator[str]:
        """The lines that a trace adds to the log, those of one step together."""
        about = [
            *(item.digest for item in trace.vertexes),
            *(item.vertex for item in trace.transfers),
            *(item.vertex for item in trace.outputs),
            *(item.vertex for item in trace.notices),
        ]
        for digest in dict.fromkeys(about):
            yield from self._feed_step(trace, digest)

    def failed(self) -> Step | None:
        """The step that made the build fail; not one that was only cut short when another failed.

        A cache that cannot be had fails no build.
        """
        failed = [step for step in self.steps.values() if step.vertex.error]
        wrong = [step for step in failed if not _HARMLESS.match(step.vertex.name)]
        culprits = [step for step in wrong if not _CUT_SHORT.search(step.vertex.error)]
        return (culprits or wrong)[0] if wrong else None

    def flush(self) -> Iterator[str]:
        """What the steps printed last and did not end with a newline."""
        for step in self.steps.values():
            yield from _flush(step)

    def _feed_step(self, trace: Trace, digest: str) -> Iterator[str]:
        for vertex in (item for item in trace.vertexes if item.digest == digest):
            yield from self._began(vertex)
        step = self.steps.get(digest)
        if step is None:
            return
        for transfer in (item for item in trace.transfers if item.vertex == digest):
            yield from self._transferred(step, transfer)
        for output in (item for item in trace.outputs if item.vertex == digest):
            yield from _printed(step, output)
        for notice in (item for item in trace.notices if item.vertex == digest):
            yield _line(step, f"WARN: {notice.text}")
        yield from _ended(step)

    def _began(self, vertex: Vertex) -> Iterator[str]:
        step = self.steps.setdefault(vertex.digest, Step(len(self.steps) + 1, vertex))
        step.vertex = _joined(step.vertex, vertex)
        if vertex.started or vertex.completed or vertex.cached:
            yield from _header(step)

    def _transferred(self, step: Step, transfer: Transfer) -> Iterator[str]:
        key = (transfer.vertex, transfer.name)
        if transfer.completed is None or key in self.finished:
            return
        self.finished.add(key)
        size = f" {_size(transfer.current)}" if transfer.current else ""
        yield from _header(step)
        yield _line(step, f"{transfer.name}{size} done")


def readable(text: str) -> str:
    """A line that is safe to show in any terminal: no escapes, no control characters, not too long."""
    plain = _CONTROLS.sub("", _ESCAPES.sub("", text)).rstrip()
    return plain if len(plain) <= LONGEST_LINE else f"{plain[: LONGEST_LINE - 1]}…"


def _joined(old: Vertex, new: Vertex) -> Vertex:
    """Later messages about a step repeat what was known, but for one that is only cancelled."""
    return replace(new, started=new.started or old.started, error=new.error or old.error)


def _header(step: Step) -> Iterator[str]:
    if not step.shown:
        step.shown = True
        yield _line(step, step.vertex.name)


def _printed(step: Step, output: Output) -> Iterator[str]:
    yield from _header(step)
    rest = step.unfinished.pop(output.stream, None)
    *lines, end = ((rest.data if rest else b"") + output.data).split(b"\n")
    for line in lines:
        yield from _show(step, replace(output, data=line))
    if end:
        step.unfinished[output.stream] = replace(output, data=end[:_LONGEST_BUFFER])


def _ended(step: Step) -> Iterator[str]:
    if not step.ended and step.vertex.completed is not None:
        step.ended = True
        yield from _flush(step)
        yield _line(step, _outcome(step.vertex))


def _outcome(vertex: Vertex) -> str:
    if vertex.error:
        return "CANCELED" if _CUT_SHORT.search(vertex.error) else f"ERROR: {vertex.error}"
    if vertex.cached:
        return "CACHED"
    return f"DONE {(vertex.completed or 0) - (vertex.started or vertex.completed or 0):.1f}s"


def _show(step: Step, line: Output) -> Iterator[str]:
    text = _standing(line.data)
    step.tail.append(text)
    if text.strip() and not _drowns_out(line, step.last):
        step.last = line
    after = max(line.time - (step.vertex.started or line.time), 0)
    yield _line(step, f"{after:.3f} {text}")


def _standing(data: bytes) -> str:
    """A line as a terminal would show it in the end: of a progress bar, its last state."""
    return readable(data.decode(errors="replace").rstrip("\r").rpartition("\r")[2])


def _drowns_out(line: Output, last: Output | None) -> bool:
    """Whether an error that came at the same moment says more than this line."""
    if last is None:
        return False
    return last.stream == STDERR != line.stream and line.time - last.time < _AT_ONCE


def _flush(step: Step) -> Iterator[str]:
    for rest in step.unfinished.values():
        yield from _show(step, rest)
    step.unfinished.clear()


def _line(step: Step, text: str) -> str:
    return readable(f"#{step.number} {' '.join(text.splitlines())}")


def _size(count: float) -> str:
    for unit in ("B", "kB", "MB"):
        if count < 1000:  # noqa: PLR2004 - a kilobyte, as docker counts
            return f"{count:.3g}{unit}"
        count /= 1000
    return f"{count:.3g}GB"
