"""What cannot be read of one run, of a newer farm perhaps, keeps no other from being seen to."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, NoReturn

import pytest

from farm.model import JobState
from farm.scheduling import coordinator
from farm.scheduling import reconciler as looking
from farm.scheduling.reconciler import keep_reconciling, reconcile
from farm.state import leases, transitions
from tests.integration.state.conftest import let_time_pass
from tests.support.farm_command import wait_until
from tests.support.values import job, run_of, work

if TYPE_CHECKING:
    from farm.state.store import Store
    from tests.integration.state.conftest import Queues

FOO, BAR = "linuxkit/foo", "linuxkit/bar"
RECORD = ("farm:{r1}:records", f"J {FOO} amd64")
ODD = ['{"arch": "amd64", "state": "of-a-farm-to-come"}', "no JSON", "[]"]


@pytest.fixture(autouse=True)
def lost(store: Store, queues: Queues) -> None:
    """r1 and r2 were sent, and all of their messages lost."""
    coordinator.submit(queues.app, store, run_of(work(FOO, "amd64")))
    coordinator.submit(queues.app, store, run_of(work(BAR, "arm64", run="r2"), run="r2"))
    assert len(queues.arches("amd64", "arm64")) == 2


def begin(store: Store) -> None:
    """A worker takes r1's build."""
    lease = leases.take(store, leases.job_lease(job()), life=60, holder="r1 w1")
    facts: dict[str, Any] = {"token": lease.token, "lease": lease.name, "worker": "w1"}
    assert transitions.move_job(store, "r1", FOO, "amd64", JobState.BUILDING, **facts)


def look(store: Store, queues: Queues, told: set[str]) -> list[str]:
    """Look once, after a minute in which nobody did anything; returns what of r2 was sent again."""
    for run in ("r1", "r2"):
        let_time_pass(store, run)
    reconcile(queues.app, store, keep=600, told=told)
    return queues.arches("arm64")


@pytest.mark.parametrize("odd", ODD)
def test_a_waiting_record_that_cannot_be_read_is_told_once_and_keeps_no_other_run(
    store: Store, queues: Queues, caplog: pytest.LogCaptureFixture, odd: str
) -> None:
    store.text.hset(*RECORD, odd)
    told: set[str] = set()
    assert look(store, queues, told) == [f"{BAR} arm64"]
    look(store, queues, told)
    # Who looks every second says it once.
    assert caplog.text.count("r1 was not seen to") == 1


@pytest.mark.parametrize("odd", [*ODD, None])
def test_a_record_in_hand_that_cannot_be_read_keeps_no_other_run_from_being_seen_to(
    store: Store, queues: Queues, caplog: pytest.LogCaptureFixture, odd: str | None
) -> None:
    begin(store)
    if odd is None:
        store.text.hdel(*RECORD)
    else:
        store.text.hset(*RECORD, odd)
    assert look(store, queues, set()) == [f"{BAR} arm64"]
    assert "r1 was not seen to" in caplog.text


def test_a_run_in_a_state_of_a_farm_to_come_keeps_no_other_from_being_seen_to(
    store: Store, queues: Queues, caplog: pytest.LogCaptureFixture
) -> None:
    store.text.hset("farm:{r1}:meta", "state", "paused")
    assert look(store, queues, set()) == [f"{BAR} arm64"]
    assert "r1 was not seen to: ValueError: paused is no state of a run" in caplog.text


def test_who_looks_goes_on_after_a_look_that_met_a_defect(
    store: Store, queues: Queues, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    let_time_pass(store, "r2")

    def fail_once(*_: object, **__: object) -> NoReturn:
        monkeypatch.undo()
        raise TypeError("odd")

    monkeypatch.setattr(looking, "read_overdue", fail_once)
    until = threading.Event()
    words = {"name": "p1", "keep": 600.0, "until": until}
    looker = threading.Thread(target=keep_reconciling, args=(queues.app, store), kwargs=words)
    looker.start()
    try:
        wait_until(lambda: f"{BAR} arm64" in queues.arches("arm64"))
    finally:
        until.set()
        looker.join()
    assert caplog.text.count("TypeError: odd") == 1
