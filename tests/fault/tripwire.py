"""Tripwires: a phase of the farm recognised by its bytes on the wire, held there until the test has acted."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import re
    from collections.abc import Collection

WAIT = 240.0
"""Seconds for which a phase is waited for, and for which a held connection stays held at the most."""


class Hold(StrEnum):
    """What happens to the connection on which a phase was recognised."""

    BEFORE = "before"
    """The bytes do not reach the service: it has not happened yet."""
    AFTER = "after"
    """The service's answer does not reach the process: it has happened, and its process does not know."""
    NOT = "not"
    """The test is told, and nothing is held."""


@dataclass(eq=False)
class Tripwire:
    """Trips once, on the first connection of one of `processes` on which `pattern` goes to the service."""

    pattern: re.Pattern[bytes]
    hold: Hold
    loop: asyncio.AbstractEventLoop = field(repr=False)
    processes: Collection[str] = ()
    """Names of the processes that it watches; empty for all."""
    tripped_by: str = ""
    """The process whose connection tripped it."""
    dropped: bool = False
    _reached: threading.Event = field(default_factory=threading.Event, repr=False)
    _released: asyncio.Event = field(default_factory=asyncio.Event, repr=False)

    @property
    def tripped(self) -> bool:
        """Whether somebody ran into it."""
        return self._reached.is_set()

    def wait(self, seconds: float = WAIT) -> str:
        """Wait until somebody has run into it; returns who."""
        assert self._reached.wait(seconds), f"nobody came to {self.pattern.pattern!r} within {seconds:.0f} s"
        return self.tripped_by

    def release(self) -> None:
        """Let through what is held."""
        self.loop.call_soon_threadsafe(self._released.set)

    def drop(self) -> None:
        """Lose what is held, and its connection, as with a process that died before it could send."""
        self.dropped = True
        self.release()

    def matches(self, process: str, seen: bytes) -> bool:
        """Whether these bytes of a process trip it; called in the relays' loop alone."""
        if self.tripped or (self.processes and process not in self.processes):
            return False
        return bool(self.pattern.search(seen))

    def trip(self, process: str) -> None:
        """Tell the test; called in the relays' loop alone."""
        self.tripped_by = process
        self._reached.set()

    async def held(self) -> bool:
        """Wait for the test; returns whether the connection may go on."""
        await asyncio.wait_for(self._released.wait(), WAIT)
        return not self.dropped
