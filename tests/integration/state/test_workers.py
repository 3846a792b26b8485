"""Workers: known by their heartbeats, drained and resumed by operators, in the end forgotten."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from farm.errors import StateError
from farm.state import workers as state
from farm.state.workers import (
    RunningJob,
    WorkerInfo,
    WorkerState,
    deregister,
    drain,
    forget_silent,
    is_drained,
    known_workers,
    record_heartbeat,
    resume,
    served,
    workers,
)
from tests.support.farm_command import wait_until

if TYPE_CHECKING:
    from farm.state.store import Store

BUILDER = WorkerInfo("b", ("amd64", "arm64"), publisher=False, slots=2, engine="27.1", emulated=("arm64",))
PUBLISHER = WorkerInfo("a", (), publisher=True, slots=1, engine="")
BUSY = replace(BUILDER, jobs=(RunningJob("r1", "linuxkit/foo", "amd64", 5.0),))


def state_of(store: Store) -> WorkerState:
    """The state of the only worker."""
    (worker,) = known_workers(store)
    return worker.state


def test_a_worker_is_known_as_it_described_itself(store: Store) -> None:
    record_heartbeat(store, BUSY)
    record_heartbeat(store, PUBLISHER)
    here = workers(store)
    assert [replace(worker, seen=0.0) for worker in here] == [PUBLISHER, BUSY]
    assert all(abs(worker.seen - store.now()) < 5 for worker in here)
    assert served(here) == {"amd64", "arm64", "publish"}
    assert [worker.free for worker in here] == [1, 1]


def test_a_worker_that_deregisters_is_gone_at_once(store: Store) -> None:
    record_heartbeat(store, BUILDER)
    deregister(store, "b")
    deregister(store, "never was here")
    assert known_workers(store) == []


def test_a_silent_worker_serves_nothing_until_its_next_heartbeat(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(state, "SILENCE", 0.5)
    record_heartbeat(store, BUILDER)
    wait_until(lambda: state_of(store) is WorkerState.SILENT)
    assert workers(store) == []
    assert served(known_workers(store)) == set()
    monkeypatch.undo()
    record_heartbeat(store, BUILDER)
    assert served(workers(store)) == {"amd64", "arm64"}


def test_a_worker_whose_last_heartbeat_is_in_the_future_is_silent(store: Store) -> None:
    """Redis' clock was set back since."""
    record_heartbeat(store, BUILDER)
    stored = json.loads(str(store.text.hget("farm:workers", "b")))
    store.text.hset("farm:workers", "b", json.dumps(stored | {"seen": stored["seen"] + 600}))
    assert state_of(store) is WorkerState.SILENT


def test_a_worker_that_is_silent_for_long_is_forgotten(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    record_heartbeat(store, PUBLISHER)
    monkeypatch.setattr(state, "FORGOTTEN", 0.5)
    wait_until(lambda: known_workers(store) == [])
    record_heartbeat(store, BUILDER)
    forget_silent(store)
    monkeypatch.undo()
    assert [worker.name for worker in known_workers(store)] == ["b"]


def test_a_drained_worker_learns_of_it_by_its_next_heartbeat_and_finishes_its_jobs(store: Store) -> None:
    assert not record_heartbeat(store, BUSY)
    drain(store, "b", "ann@host")
    assert state_of(store) is WorkerState.DRAINING
    assert record_heartbeat(store, replace(BUSY, consuming=False))
    assert state_of(store) is WorkerState.DRAINING
    record_heartbeat(store, replace(BUILDER, consuming=False))
    assert state_of(store) is WorkerState.DRAINED
    (worker,) = workers(store)
    assert (worker.drained_by, worker.free, served([worker])) == ("ann@host", 0, set())


def test_a_worker_stays_drained_when_it_starts_again_and_until_it_is_resumed(store: Store) -> None:
    record_heartbeat(store, BUILDER)
    drain(store, "b", "ann@host")
    deregister(store, "b")
    assert record_heartbeat(store, BUILDER)
    assert is_drained(store, "b")
    assert resume(store, "b")
    assert not resume(store, "b")
    assert not record_heartbeat(store, BUILDER)
    assert state_of(store) is WorkerState.UP


def test_an_unknown_worker_cannot_be_drained_or_resumed(store: Store) -> None:
    with pytest.raises(StateError, match="there is no worker nobody"):
        drain(store, "nobody", "ann@host")
    with pytest.raises(StateError, match="there is no worker nobody"):
        resume(store, "nobody")


def test_a_worker_that_leaves_serves_nothing(store: Store) -> None:
    record_heartbeat(store, replace(BUSY, leaving=True))
    assert state_of(store) is WorkerState.LEAVING
    assert served(workers(store)) == set()


def test_unknown_fields_of_a_later_version_are_ignored(store: Store) -> None:
    record_heartbeat(store, BUILDER)
    stored = json.loads(str(store.text.hget("farm:workers", "b")))
    job = {"run": "r1", "package": "a/b", "arch": "amd64", "since": 1.0, "mood": "good"}
    store.text.hset("farm:workers", "b", json.dumps({**stored, "mood": "good", "jobs": [job]}))
    assert [worker.name for worker in workers(store)] == ["b"]


def test_a_worker_as_json_has_what_an_operator_needs(store: Store) -> None:
    record_heartbeat(store, BUSY)
    (worker,) = workers(store)
    data = worker.to_json()
    assert (data["name"], data["state"], data["free"], data["drainedBy"]) == ("b", "up", 1, None)
    assert data["jobs"] == [{"run": "r1", "package": "linuxkit/foo", "arch": "amd64", "since": 5.0}]
