"""A run that cannot be read, perhaps of a later version, does not keep others from being reconciled."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, NoReturn

import pytest

from farm.model import JobState
from farm.scheduling import coordinator, reconciler
from farm.scheduling.reconciler import keep_reconciling, reconcile
from farm.state import leases
from farm.state.records import Patch
from tests.integration.state.conftest import let_time_pass
from tests.integration.state.steps import drive_job
from tests.support.farm_command import wait_until
from tests.support.values import job, run_of, work

if TYPE_CHECKING:
    from farm.state.run_handles import PackageHandle
    from farm.state.store import Store
    from tests.integration.state.conftest import Queues

FOO, BAR = "linuxkit/foo", "linuxkit/bar"
RECORD = ("farm:{r1}:records", f"J {FOO} amd64")
MALFORMED = ['{"arch": "amd64", "state": "of-a-later-version"}', "no JSON", "[]"]


@pytest.fixture(autouse=True)
def lost(store: Store, queues: Queues) -> None:
    """r1 and r2 were sent, and all of their messages lost."""
    coordinator.submit_run(queues.app, store, run_of(work(FOO, "amd64")))
    coordinator.submit_run(queues.app, store, run_of(work(BAR, "arm64", run="r2"), run="r2"))
    assert len(queues.arches("amd64", "arm64")) == 2


def begin(foo: PackageHandle) -> None:
    """A worker accepts r1's job."""
    lease = leases.take(foo.store, leases.job_lease(job()), duration=60, holder="r1 w1")
    patch = Patch(token=lease.token, lease=lease.name, worker="w1")
    drive_job(foo.job("amd64"), JobState.BUILDING, patch)


def reconcile_after_a_minute(store: Store, queues: Queues, reported: set[str]) -> list[str]:
    """Reconcile once, after a minute without any change; returns what of r2 was sent again."""
    for run in ("r1", "r2"):
        let_time_pass(store, run)
    reconcile(queues.app, store, keep=600, reported=reported)
    return queues.arches("arm64")


@pytest.mark.parametrize("malformed", MALFORMED)
def test_a_malformed_queued_record_is_reported_once_and_the_other_run_is_reconciled(
    store: Store, queues: Queues, caplog: pytest.LogCaptureFixture, malformed: str
) -> None:
    store.text.hset(*RECORD, malformed)
    reported: set[str] = set()
    assert reconcile_after_a_minute(store, queues, reported) == [f"{BAR} arm64"]
    reconcile_after_a_minute(store, queues, reported)
    assert caplog.text.count("r1 was not reconciled") == 1


@pytest.mark.parametrize("malformed", [*MALFORMED, None])
def test_a_malformed_record_in_progress_is_reported_and_the_other_run_is_reconciled(
    store: Store, queues: Queues, foo: PackageHandle, caplog: pytest.LogCaptureFixture, malformed: str | None
) -> None:
    begin(foo)
    if malformed is None:
        store.text.hdel(*RECORD)
    else:
        store.text.hset(*RECORD, malformed)
    assert reconcile_after_a_minute(store, queues, set()) == [f"{BAR} arm64"]
    assert "r1 was not reconciled" in caplog.text


def test_a_run_in_an_unknown_state_is_reported_and_the_other_run_is_reconciled(
    store: Store, queues: Queues, caplog: pytest.LogCaptureFixture
) -> None:
    store.text.hset("farm:{r1}:meta", "state", "paused")
    assert reconcile_after_a_minute(store, queues, set()) == [f"{BAR} arm64"]
    assert "r1 was not reconciled: ValueError: unknown state of a run: paused" in caplog.text


def test_the_reconciler_continues_after_an_internal_error(
    store: Store, queues: Queues, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    let_time_pass(store, "r2")

    def fail_once(*_: object, **__: object) -> NoReturn:
        monkeypatch.undo()
        raise TypeError("unexpected")

    monkeypatch.setattr(reconciler, "read_overdue", fail_once)
    stop = threading.Event()
    options = {"name": "p1", "keep": 600.0, "stop": stop}
    publisher = threading.Thread(target=keep_reconciling, args=(queues.app, store), kwargs=options)
    publisher.start()
    try:
        wait_until(lambda: f"{BAR} arm64" in queues.arches("arm64"))
    finally:
        stop.set()
        publisher.join()
    assert caplog.text.count("TypeError: unexpected") == 1
