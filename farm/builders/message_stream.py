"""Read and log the messages of a build or push, until it ends, is cancelled, or takes too long."""

from __future__ import annotations

import math
import re
import selectors
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, TypeVar

from farm.buildkit.progress import Progress
from farm.buildkit.status_messages import Trace
from farm.errors import CancelledError, InputError
from farm.model import Reference

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from farm.builders.builder import Control
    from farm.buildkit.progress import BuildStep
    from farm.buildkit.session import Session
    from farm.errors import FarmError

T = TypeVar("T")

_POLL = 0.2
"""Seconds between two checks of the limits."""


@dataclass(frozen=True, slots=True)
class Limits:
    """When to stop waiting for a build or a push, which messages call `work`; raises `error` then."""

    work: str
    control: Control
    error: type[FarmError]
    deadline: float
    """On the monotonic clock."""
    silence: float
    """Seconds that may pass between two messages."""

    @staticmethod
    def start(work: str, control: Control, error: type[FarmError], *, silence: float = math.inf) -> Limits:
        """Limits that start now."""
        return Limits(work, control, error, time.monotonic() + control.timeout, silence)

    def check(self, last_message: float) -> None:
        """Raise if the work was cancelled or takes too long; the last message came at this monotonic time."""
        if self.control.cancelled():
            raise CancelledError(f"{self.work} was cancelled")
        if time.monotonic() > last_message + self.silence:
            raise self.error(f"{self.work} made no progress for {_duration(self.silence)} and was stopped")
        if time.monotonic() > self.deadline:
            raise self.error(
                f"{self.work} took longer than {_duration(self.control.timeout)} and was stopped"
            )


class MessageSource(Protocol[T]):
    """Something that a selector can wait on, such as a response of the engine."""

    @property
    def ended(self) -> bool:
        """Whether no further message will arrive."""

    def fileno(self) -> int:
        """The descriptor that a selector waits on."""

    def receive(self) -> list[T]:
        """Wait for bytes, and return the messages that are complete."""


def stream_messages(
    source: MessageSource[T], check: Callable[[float], None], session: Session | None = None
) -> Iterator[T]:
    """Yield the messages of a source as they arrive, while the session serves the engine's requests.

    `check` is called a few times a second with the time of the last message; it raises to stop.
    """
    with selectors.DefaultSelector() as selector:
        selector.register(source, selectors.EVENT_READ)
        if session:
            selector.register(session, selectors.EVENT_READ)
        checked, last_message = -_POLL, time.monotonic()
        while not source.ended:
            if time.monotonic() - checked >= _POLL:
                check(last_message)
                checked = time.monotonic()
            for key, _ in selector.select(_POLL):
                if key.fileobj is source:
                    last_message = time.monotonic()
                    yield from source.receive()
                elif session:
                    session.receive()
                    if session.ended:
                        selector.unregister(session)


def _duration(seconds: float) -> str:
    """A limit in three digits: `format_duration` would round one of 90 s to 2 min, and of 0.3 s to 1 s."""
    for size, unit in ((3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds:.3g} s"


# https://github.com/moby/buildkit/blob/v0.20.0/frontend/dockerfile/dockerfile2llb/convert.go
# The step of an image that only COPY --from or RUN --mount names has no prefix; BuildKit before 0.9 names no
# digest in it, either.
_BASE = re.compile(r"(?:\[[^\]]*\] )?FROM (\S+?)(?:@(sha256:[0-9a-f]{64}))?")
_RESOLVED = re.compile(r"\[[^\]]*internal\] load metadata for (\S+?)(?:@sha256:[0-9a-f]{64})?")


def _with_tag(name: str) -> str:
    """The name of an image with its tag, which is `latest` if it says none."""
    try:
        return str(Reference.parse(name).or_latest())
    except InputError:
        return name


@dataclass(slots=True)
class BuildLog:
    """Writes the lines that progress messages add, and knows which step failed."""

    log: Callable[[str], None]
    progress: Progress = field(default_factory=Progress)

    def write_trace(self, read: Callable[[], Trace]) -> Trace:
        """Log what a progress message adds; if `read` raises ValueError, add a line, and fail no build."""
        try:
            trace = read()
            lines = list(self.progress.feed(trace))
        except ValueError as error:
            trace, lines = Trace(), [f"(unreadable progress message: {error})"]
        for line in lines:
            self.log(line)
        return trace

    def report_bases(self, report: Callable[[str, str], None]) -> None:
        """Report each base image that a step names with the digest that it was resolved to.

        The digest is "" where no step says it. That is so for an image without layers, too, which gives a
        build its configuration, ONBUILD included, but no step.
        """
        names = [step.vertex.name for step in self.progress.steps.values()]
        found = {(base[1], base[2] or "") for base in map(_BASE.fullmatch, names) if base}
        resolved = {base[1] for base in map(_RESOLVED.fullmatch, names) if base}
        # Of the step of an image, BuildKit leaves out the tag `latest`, but not of the look-up.
        with_layers = {name if name in resolved else _with_tag(name) for name, _ in found}
        for name, digest in sorted(found | {(name, "") for name in resolved - with_layers}):
            report(name, digest)

    def finish(self) -> BuildStep | None:
        """Log the rest of the output; return the step that failed, if one did."""
        for line in self.progress.flush():
            self.log(line)
        return self.progress.failed()
