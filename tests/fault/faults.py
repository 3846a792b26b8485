"""Faults of the process that a tripwire holds, and cases that happen at the same time."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.fault.process import Process
    from tests.support.proxy.tripwire import Tripwire


class Fault(StrEnum):
    """What happens to a worker or publisher."""

    CHILD = "kill -9 of its child"
    WHOLE = "kill -9"
    FROZEN = "frozen past its lease"

    def strike(self, victim: Process, wire: Tripwire) -> None:
        """Cause the fault; who freezes a process releases the wire and thaws it later."""
        if self is Fault.FROZEN:
            victim.freeze()
            return
        if self is Fault.CHILD:
            assert victim.kill_child(), f"{victim.name} has no child"
        else:
            victim.kill()
        wire.drop()
        if self is Fault.WHOLE:
            victim.start()


@contextmanager
def at_once(*cases: Callable[[], object]) -> Iterator[None]:
    """Start all cases, each in a thread; after the body, wait for them and report all errors."""
    with ThreadPoolExecutor(len(cases)) as pool:
        work = [pool.submit(case) for case in cases]
        yield
        if errors := [error for one in work if (error := one.exception())]:
            raise BaseExceptionGroup("not every case happened as it should", errors)
