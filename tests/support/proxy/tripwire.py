"""Tripwires: data that a test waits for on its way through a proxy, holds there, or loses."""

from __future__ import annotations

import asyncio
import re
import threading
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from tests.support.proxy.loop import loop

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from tests.support.proxy.tcp import Connection

WAIT = 240.0
"""Seconds that a test waits for a tripwire, and the most that a connection is held."""


class BrokenConnectionError(Exception):
    """The proxy breaks this connection."""


class Hold(StrEnum):
    """What is held when a tripwire trips."""

    BEFORE = "before"
    """The data: the service has not received it."""
    AFTER = "after"
    """The service's answer to the data: the service has acted on it, and the client does not know."""
    NOTHING = "nothing"


@dataclass(eq=False)
class Tripwire:
    """Trips on data for which `when` is true, until it has tripped `left` times."""

    when: Callable[[Connection], bool]
    hold: Hold = Hold.BEFORE
    left: float = 1
    dropped: bool = False
    """Whether a connection that trips it is broken instead of held."""
    answers: bool = False
    """Whether it watches what the service sends, instead of what the client sends."""
    name: str = "a tripwire"
    hits: int = 0
    tripped_by: str = ""
    """The client that tripped it last."""
    _reached: threading.Event = field(default_factory=threading.Event)
    _released: asyncio.Event = field(default_factory=asyncio.Event)

    def wait(self, seconds: float = WAIT) -> str:
        """Wait until it has tripped; returns the client that tripped it."""
        assert self._reached.wait(seconds), f"nothing reached {self.name} within {seconds:.0f} s"
        return self.tripped_by

    def release(self) -> None:
        """Let pass what is held."""
        loop().call_soon_threadsafe(self._released.set)

    def drop(self) -> None:
        """Lose what is held and its connection, as if the client had died before it could send."""
        self.dropped = True
        self.release()

    def takes(self, connection: Connection, *, answer: bool) -> bool:
        """Whether the connection's current data trips it."""
        return self.left >= 1 and answer is self.answers and self.when(connection)

    async def trip(self, client: str) -> None:
        """Tell the test, and hold the connection.

        Raises:
            BrokenConnectionError: the test drops what is held.
        """
        self.tripped_by = client
        self.left -= 1
        self.hits += 1
        self._reached.set()
        if self.hold is not Hold.NOTHING and not self.dropped:
            await asyncio.wait_for(self._released.wait(), WAIT)
        if self.dropped:
            raise BrokenConnectionError


def matching(pattern: str, clients: Collection[str] = ()) -> Callable[[Connection], bool]:
    """The bytes that the client sends match a regular expression; from some clients, or from all."""
    compiled = re.compile(pattern.encode())

    def matches(connection: Connection) -> bool:
        return (not clients or connection.client in clients) and bool(compiled.search(connection.recent))

    return matches


def containing(word: str) -> Callable[[Connection], bool]:
    """The current data contains a word."""
    return lambda connection: word.encode() in connection.data
