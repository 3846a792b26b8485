"""Redis dies, is away, refuses writes, or loses its data."""

from __future__ import annotations

import math
import threading
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

from farm.state.workers import known_workers
from tests.fault.outcome import attested, built, check, check_built_once
from tests.fault.phases import BUILDING, CLAIMED, FETCHED, LEASED, PUSHED, PUSHING, SIGNED, SIGNING, TAKEN
from tests.fault.rig import ARCHES, LEASE, Rig
from tests.fault.summary import SUMMARY
from tests.support.farm_command import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.timeout(900)
AWAY = 13.0
"""Seconds; longer than three leases, and than a worker waits for an answer."""
REFUSING = LEASE + 1
"""Seconds for which Redis refuses writes; longer than a lease."""


def command(text: str) -> Callable[[Rig], object]:
    def ask(rig: Rig) -> None:
        redis: Any = rig.store.text
        redis.execute_command(*text.split())

    return ask


OUTAGES: dict[str, tuple[float, Callable[[Rig], object], Callable[[Rig], object]]] = {
    "away": (AWAY, Rig.kill_redis, lambda rig: rig.redis.start()),
    "read-only": (REFUSING, command("REPLICAOF 127.0.0.1 1"), command("REPLICAOF NO ONE")),
    "out-of-memory": (REFUSING, command("CONFIG SET maxmemory 1"), command("CONFIG SET maxmemory 0")),
    "short-of-replicas": (
        REFUSING,
        command("CONFIG SET min-replicas-to-write 1"),
        command("CONFIG SET min-replicas-to-write 0"),
    ),
}
"""How long they last, how they begin, and how they end."""


def test_redis_killed_at_each_phase_and_started_again_loses_and_doubles_nothing(rig: Rig) -> None:
    rig.prepare("mortal")
    reference = rig.package("mortal", seconds=2)
    workers = {process.name for process in rig.workers}
    phases = (TAKEN, LEASED, BUILDING, PUSHED, CLAIMED, SIGNING, SIGNED)
    with ExitStack() as stack:
        wires = [
            stack.enter_context(phase.trip(rig, reference, "amd64", processes=workers)) for phase in phases
        ]
        push = rig.push("push-1", "mortal")
        for wire in wires:
            wire.wait()
            rig.kill_redis()
            wire.release()
            rig.redis.start()
        assert push.wait(240) == 0, push.said()
    check_built_once(rig, {reference: [("kill -9 of Redis", phase.name) for phase in phases]})
    assert [process.name for process in rig.workers if not process.running] == []


@pytest.mark.parametrize("name", OUTAGES)
def test_builds_outlast_a_redis_that_is_away_or_takes_nothing_and_are_not_made_again(
    rig: Rig, name: str
) -> None:
    seconds, begin, end = OUTAGES[name]
    rig.prepare(name)
    reference = rig.package(name, seconds=2)
    with ExitStack() as stack:
        wires = [stack.enter_context(BUILDING.trip(rig, reference, arch)) for arch in ARCHES]
        push = rig.push("push-1", name)
        for wire in wires:
            wire.wait()
        begin(rig)
        threading.Event().wait(seconds)
        end(rig)
        assert push.wait(240) == 0, push.said()
    check_built_once(rig, {reference: [(f"Redis {name} for {seconds:.0f} s", BUILDING.name)]})


def test_an_image_that_was_pushed_while_redis_was_away_is_not_built_again_although_its_worker_died(
    rig: Rig,
) -> None:
    rig.prepare("orphan")
    reference = rig.package("orphan")
    with PUSHING.trip(rig, reference, "amd64") as wire:
        push = rig.push("push-1", "orphan")
        wire.wait()
        (build,) = rig.builds(reference, "amd64")
        rig.kill_redis()
    wait_until(lambda: attested(rig, reference, "amd64") < math.inf)
    rig.processes[build.process].kill()
    rig.redis.start()
    rig.revive()
    assert push.wait(240) == 0, push.said()
    check_built_once(rig, {reference: [("Redis away, and the worker killed", PUSHING.name)]})


def test_after_redis_was_emptied_farm_push_again_builds_only_what_the_registry_lacks(rig: Rig) -> None:
    rig.prepare("amnesiac")
    reference = rig.package("amnesiac")
    with FETCHED.trip(rig, reference, "s390x") as wire:
        push = rig.push("push-1", "amnesiac")
        wire.wait()
        wait_until(
            lambda: all(rig.record(reference).jobs[arch].state.succeeded for arch in ("amd64", "arm64"))
        )
        rig.empty_redis()
        wire.release()
        rig.redis.start()
    assert push.wait(240) == 1
    assert "Redis lost its data" in push.said()
    wait_until(lambda: len(known_workers(rig.store)) == len(rig.workers))
    again = rig.push("push-2", "amnesiac")
    assert again.wait(240) == 0, again.said()
    jobs = check(rig, [reference])[reference].jobs
    states = {arch: str(job.state) for arch, job in jobs.items()}
    assert states == {"amd64": "exists", "arm64": "exists", "s390x": "built"}
    assert built(rig, reference) == dict.fromkeys(ARCHES, 1)
    SUMMARY.add("Redis emptied", "two of three built", "the third built, one index, signed")
