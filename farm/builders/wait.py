"""Waiting on the engine: its answer is read as it comes, until it ends, is cancelled, or takes too long."""

from __future__ import annotations

import math
import selectors
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeVar

from farm.errors import CancelledError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from farm.buildkit.session import Session
    from farm.errors import FarmError

T = TypeVar("T")

_POLL = 0.2
"""Seconds between two looks at whether the work was cancelled."""


@dataclass(frozen=True, slots=True)
class Limit:
    """When to stop waiting."""

    what: str
    """What is waited for, as the start of a sentence: "the build"."""
    cancelled: Callable[[], bool]
    timeout: float
    """Seconds."""
    deadline: float
    """On the monotonic clock."""
    too_long: type[FarmError]
    silence: float
    """Seconds that may pass without a word."""

    @staticmethod
    def of(
        what: str,
        *,
        cancelled: Callable[[], bool],
        timeout: float,
        too_long: type[FarmError],
        silence: float = math.inf,
    ) -> Limit:
        """A limit that begins to run now."""
        return Limit(what, cancelled, timeout, time.monotonic() + timeout, too_long, silence)

    def check(self, heard: float) -> None:
        """Raise if the wait is over.

        Args:
            heard: when the last word came, by the monotonic clock.

        Raises:
            CancelledError: the work was cancelled.
            FarmError: of the kind `too_long`, when the time is up.
        """
        if self.cancelled():
            raise CancelledError(f"{self.what} was cancelled")
        if time.monotonic() > heard + self.silence:
            raise self.too_long(f"{self.what} got no further for {_spoken(self.silence)} and was stopped")
        if time.monotonic() > self.deadline:
            raise self.too_long(f"{self.what} took longer than {_spoken(self.timeout)} and was stopped")


class Source(Protocol[T]):
    """What a selector can wait on, and what then gives what has arrived."""

    @property
    def ended(self) -> bool:
        """Whether nothing more comes."""

    def fileno(self) -> int:
        """The descriptor that a selector waits on."""

    def receive(self) -> list[T]:
        """Take what has arrived; waits for something."""


def watch(answer: Source[T], session: Session | None, limit: Limit) -> Iterator[T]:
    """The objects of an answer as they come, while the session serves what the engine asks for.

    Raises:
        EngineUnavailableError: the engine went away.
        CancelledError: the work was cancelled.
        FarmError: it took too long.
    """
    with selectors.DefaultSelector() as selector:
        selector.register(answer, selectors.EVENT_READ)
        if session:
            selector.register(session, selectors.EVENT_READ)
        checked, heard = -_POLL, time.monotonic()
        while not answer.ended:
            if time.monotonic() - checked >= _POLL:
                limit.check(heard)
                checked = time.monotonic()
            for key, _ in selector.select(_POLL):
                if key.fileobj is answer:
                    heard = time.monotonic()
                    yield from answer.receive()
                elif session:
                    session.receive()
                    if session.ended:
                        selector.unregister(session)


def _spoken(seconds: float) -> str:
    for size, unit in ((3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds:.3g} s"
