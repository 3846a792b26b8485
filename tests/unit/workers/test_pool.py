"""The pool of a worker: real processes, and an event loop that a lost connection to Redis resets."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from billiard.exceptions import WorkerLostError
from kombu.asynchronous import Hub

from workers.pool import Pool

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.timeout(30)
LARGE = 8 << 20
"""Bytes that pass a pipe in more than a hundred parts."""
RECONNECTIONS = 20


class Unreadable:
    """A value that its reader cannot unpickle."""

    def __reduce__(self) -> tuple[Any, ...]:
        return int, ("no number",)


def large() -> bytes:
    return b"\0" * LARGE


def small() -> str:
    return "small"


@dataclass
class Loop:
    """A pool of one process, and the event loop of a worker."""

    pool: Any
    hub: Any

    def connect(self) -> None:
        """Do what a worker does when its connection to Redis was made."""
        assert self.hub.poller
        self.pool.register_with_event_loop(self.hub)
        self.turns = self.hub.create_loop()

    def reconnect(self) -> None:
        """Do what a worker does when the connection was lost, and is made again."""
        self.hub.reset()
        self.pool.flush()
        self.connect()

    def turn_until(self, condition: Callable[[], bool]) -> None:
        """Turn the loop; the time-out of the test ends it."""
        while not condition():
            next(self.turns)

    def call(self, function: Callable[[], object], during: Callable[[Any], None] = lambda _: None) -> Any:
        """The result of a call in the pool's process; `during` happens when its first part can be read."""
        job = self.pool.apply_async(function)
        self.turn_until(lambda: job._accepted)
        during(job)
        self.turn_until(job.ready)
        return job._value


@pytest.fixture
def loop() -> Iterator[Loop]:
    pool: Any = Pool(1, threads=False, lost_worker_timeout=0.1, enable_timeouts=True)
    hub: Any = Hub()
    loop = Loop(pool, hub)
    try:
        loop.connect()
        yield loop
    finally:
        for process in pool._pool:
            with suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGKILL)
            process.join()
        hub.close()


def test_a_result_that_was_read_in_part_when_redis_was_lost_arrives_completely(loop: Loop) -> None:
    def reconnect(job: Any) -> None:
        for _ in range(RECONNECTIONS):
            next(loop.turns)
            assert not job.ready()
            loop.reconnect()

    assert len(loop.call(large, reconnect)) == LARGE
    assert loop.call(small) == "small"


def test_a_process_that_died_within_a_message_is_replaced_and_the_next_job_gets_its_own_result(
    loop: Loop,
) -> None:
    def kill(_: Any) -> None:
        next(loop.turns)
        os.kill(loop.pool._pool[0].pid, signal.SIGKILL)

    assert loop.call(large, kill).type is WorkerLostError
    assert loop.call(small) == "small"


def test_a_message_that_cannot_be_read_costs_its_process_and_not_the_worker(
    loop: Loop, caplog: pytest.LogCaptureFixture
) -> None:
    assert loop.call(Unreadable).type is WorkerLostError
    assert "sent something unreadable, and is replaced: ValueError" in caplog.text
    assert loop.call(small) == "small"
