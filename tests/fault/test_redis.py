"""Redis dies, is away, refuses writes, or loses its data."""

from __future__ import annotations

import threading
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

from tests.fault.outcome import built, check
from tests.fault.phases import BUILDING, CLAIMED, FETCHED, LEASED, PUSHED, SIGNED, SIGNING, TAKEN
from tests.fault.rig import ARCHES, LEASE
from tests.fault.summary import SUMMARY
from tests.support.farm_command import wait_until

if TYPE_CHECKING:
    from tests.fault.rig import Rig

pytestmark = pytest.mark.timeout(900)
AWAY = 13.0
"""Seconds; longer than three leases, and than a worker waits for an answer."""
REFUSING = LEASE + 1
"""Seconds for which Redis refuses writes; longer than a lease."""


def test_redis_killed_at_each_phase_and_started_again_loses_and_doubles_nothing(rig: Rig) -> None:
    rig.prepare("mortal")
    reference = rig.package("mortal", seconds=2)
    workers = {process.name for process in rig.workers}
    phases = (TAKEN, LEASED, BUILDING, PUSHED, CLAIMED, SIGNING, SIGNED)
    with ExitStack() as stack:
        wires = [
            stack.enter_context(
                rig.tripwire(phase.backend, phase.at(package="mortal", arch="amd64"), phase.hold, workers)
            )
            for phase in phases
        ]
        push = rig.push("push-1", "mortal")
        for phase, wire in zip(phases, wires, strict=True):
            wire.wait()
            rig.kill_redis()
            wire.release()
            rig.redis.start()
            SUMMARY.survived.append(("kill -9 of Redis", phase.name, "built once, one index, signed"))
        assert push.wait(240) == 0, push.said()
    check(rig, [reference])
    assert built(rig, reference) == dict.fromkeys(ARCHES, 1)
    assert [process.name for process in rig.workers if not process.running] == []


def test_builds_outlast_a_redis_that_is_away_and_are_not_made_again(rig: Rig) -> None:
    rig.prepare("patient")
    reference = rig.package("patient", seconds=2)
    with ExitStack() as stack:
        wires = [
            stack.enter_context(
                rig.tripwire(BUILDING.backend, BUILDING.at(package="patient", arch=arch), BUILDING.hold)
            )
            for arch in ARCHES
        ]
        push = rig.push("push-1", "patient")
        for wire in wires:
            wire.wait()
        rig.kill_redis()
        threading.Event().wait(AWAY)
        rig.redis.start()
        assert push.wait(240) == 0, push.said()
    check(rig, [reference])
    assert built(rig, reference) == dict.fromkeys(ARCHES, 1)
    SUMMARY.survived.append((f"Redis away for {AWAY:.0f} s", BUILDING.name, "built once, one index, signed"))


@pytest.mark.parametrize(
    ("name", "before", "after"),
    [
        ("read-only", ["REPLICAOF", "127.0.0.1", "1"], ["REPLICAOF", "NO", "ONE"]),
        ("out of memory", ["CONFIG", "SET", "maxmemory", "1"], ["CONFIG", "SET", "maxmemory", "0"]),
        ("short of replicas", *(["CONFIG", "SET", "min-replicas-to-write", str(n)] for n in (1, 0))),
    ],
    ids=lambda value: value.replace(" ", "-") if isinstance(value, str) else "",
)
def test_builds_outlast_a_redis_that_takes_nothing_and_are_not_made_again(
    rig: Rig, name: str, before: list[str], after: list[str]
) -> None:
    package = name.replace(" ", "-")
    rig.prepare(package)
    reference = rig.package(package, seconds=2)
    redis: Any = rig.store.text
    with rig.tripwire(BUILDING.backend, BUILDING.at(package=package, arch="arm64"), BUILDING.hold) as wire:
        push = rig.push("push-1", package)
        wire.wait()
        redis.execute_command(*before)
        threading.Event().wait(REFUSING)
        redis.execute_command(*after)
        assert push.wait(240) == 0, push.said()
    check(rig, [reference])
    assert built(rig, reference) == dict.fromkeys(ARCHES, 1)
    SUMMARY.survived.append(
        (f"Redis {name} for {REFUSING:.0f} s", BUILDING.name, "built once, one index, signed")
    )


def test_after_redis_was_emptied_farm_push_again_builds_only_what_the_registry_lacks(rig: Rig) -> None:
    rig.prepare("amnesiac")
    reference = rig.package("amnesiac")
    with rig.tripwire(FETCHED.backend, FETCHED.at(package="amnesiac", arch="s390x"), FETCHED.hold) as wire:
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
    wait_until(lambda: len(rig.ask("workers", "--json").json) == len(rig.workers))
    again = rig.push("push-2", "amnesiac")
    assert again.wait(240) == 0, again.said()
    package = check(rig, [reference])[reference]
    assert {job["arch"]: job["state"] for job in package["jobs"]} == {
        "amd64": "exists",
        "arm64": "exists",
        "s390x": "built",
    }
    assert built(rig, reference) == dict.fromkeys(ARCHES, 1)
    SUMMARY.survived.append(("Redis emptied", "two of three built", "the third built, one index, signed"))
