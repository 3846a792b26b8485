"""Who works here: known by signs of life, forgotten in silence."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import TYPE_CHECKING

from farm.state.workers import WorkerInfo, beat, leave, served, wait_for_workers, workers
from tests.support.farm_command import wait_until

if TYPE_CHECKING:
    from farm.state.store import Store

BUILDER = WorkerInfo("b", ("amd64", "arm64"), publisher=False, slots=2, engine="27.1", emulated=("arm64",))
PUBLISHER = WorkerInfo("a", (), publisher=True, slots=1, engine="")


def test_a_worker_is_known_as_it_described_itself(store: Store) -> None:
    beat(store, BUILDER)
    beat(store, PUBLISHER)
    here = workers(store)
    assert [replace(worker, seen=0.0) for worker in here] == [PUBLISHER, BUILDER]
    assert all(abs(worker.seen - store.now()) < 5 for worker in here)
    assert served(here) == {"amd64", "arm64", "publish"}


def test_a_worker_that_says_goodbye_is_gone_at_once(store: Store) -> None:
    beat(store, BUILDER)
    leave(store, "b")
    leave(store, "never was here")
    assert workers(store) == []


def test_a_worker_that_falls_silent_is_gone_after_a_while_and_back_with_its_next_sign(store: Store) -> None:
    beat(store, BUILDER)
    wait_until(lambda: workers(store, silence=0.5) == [])
    assert workers(store) != []
    beat(store, BUILDER)
    assert len(workers(store, silence=60)) == 1


def test_two_signs_of_one_worker_are_one_worker(store: Store) -> None:
    beat(store, BUILDER)
    beat(store, replace(BUILDER, slots=4))
    assert [worker.slots for worker in workers(store)] == [4]


def test_waiting_ends_when_all_that_is_wanted_is_served(store: Store) -> None:
    timer = threading.Timer(0.3, beat, (store, BUILDER))
    timer.start()
    assert wait_for_workers(store, {"amd64"}, timeout=30) == set()
    timer.join()


def test_waiting_ends_in_time_with_what_is_not_served(store: Store) -> None:
    beat(store, BUILDER)
    assert wait_for_workers(store, {"amd64", "s390x", "publish"}, timeout=0.1) == {"s390x", "publish"}
