"""Run targets on mutated seeds, each input with a limit of time and of memory."""

from __future__ import annotations

import random
import resource
import signal
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from tests.fuzz.mutate import mutated

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.fuzz.targets import Target

LONGEST = 2.0
"""Seconds that one input may take."""
MEMORY = 256 << 20
"""Bytes that one input may take."""


class SlowError(BaseException):
    """An input takes too long; no handler of the farm's errors catches it."""


class Finding(NamedTuple):
    """An input that ended in anything but a value or an error of the farm."""

    target: str
    data: bytes
    error: BaseException


@contextmanager
def limits() -> Iterator[None]:
    """Limit the memory of this process, and let inputs be interrupted."""

    def stop(*_: object) -> None:
        raise SlowError

    before = resource.getrlimit(resource.RLIMIT_AS)
    handler = signal.signal(signal.SIGALRM, stop)
    with open("/proc/self/statm") as file:  # noqa: PTH123 - one line of the kernel
        used = int(file.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)
        signal.signal(signal.SIGALRM, handler)


def attempt(name: str, target: Target, data: bytes) -> Finding | None:
    """Run a target once, within `limits`."""
    signal.setitimer(signal.ITIMER_REAL, LONGEST)
    try:
        target.run(data)
    except target.refusals:
        return None
    except (Exception, SlowError) as error:  # noqa: BLE001 - whatever it is, it is a finding
        return Finding(name, data, error)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    return None


def fuzz(name: str, target: Target, seed: int, seconds: float) -> Iterator[Finding | None]:
    """Run a target on its seeds and then on mutations, one after another, for some seconds."""
    chance = random.Random(f"{seed} {name}")
    ends = time.monotonic() + seconds
    for data in target.seeds:
        yield attempt(name, target, data)
    while time.monotonic() < ends:
        yield attempt(name, target, mutated(chance, target.seeds))
