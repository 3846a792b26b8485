"""Lost work is dispatched again, once: a real broker and no worker."""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING, Any

import pytest

from farm.errors import BuildFailedError, StateError, StateUnavailableError
from farm.model import JobState, PackageState, RunState
from farm.scheduling import coordinator, dispatch
from farm.scheduling.celery_app import make_app
from farm.scheduling.reconciler import keep_reconciling, reconcile
from farm.scheduling.requeue import MAX_LOST, MAX_RESENT
from farm.settings import Secret, Settings
from farm.state import leases, runs
from farm.state.overdue import read_overdue
from farm.state.records import Patch
from farm.state.run_reader import read_jobs, read_package, read_run, read_work
from farm.state.store import Store
from farm.state.transitions import move_job, move_package
from lab.process import free_port
from tests.integration.state.conftest import Queues, let_time_pass
from tests.integration.state.steps import begin, begin_and_die, drive_job, drive_package
from tests.support.farm_command import wait_until
from tests.support.proxy.tcp import proxy
from tests.support.proxy.tripwire import Hold, containing
from tests.support.values import descriptor, image, job, run_of, work

if TYPE_CHECKING:
    from collections.abc import Iterator

    from celery import Celery

    from farm.state.records import JobRecord
    from farm.state.run_handles import PackageHandle, RunHandle

FOO, BAR = "linuxkit/foo", "linuxkit/bar"
BOTH = [f"{FOO} amd64", f"{FOO} arm64"]
KEEP = 600.0


@pytest.fixture
def made(store: Store) -> None:
    """r1, stored and not started: foo for two architectures, bar after it."""
    runs.create_run(store, run_of(work(FOO, "amd64", "arm64"), work(BAR, "amd64", needs=(FOO,))))


@pytest.fixture
def sent(queues: Queues, foo: PackageHandle, made: None) -> None:
    """r1, started."""
    del made
    assert queues.start(foo)


def record(package: PackageHandle, arch: str = "amd64") -> JobRecord:
    return read_jobs(package, [arch])[0]


def state(package: PackageHandle) -> PackageState:
    return read_package(package).state


def build_all(foo: PackageHandle) -> None:
    """Both of foo's jobs succeed."""
    for arch in ("amd64", "arm64"):
        drive_job(foo.job(arch), JobState.BUILT, Patch(image=image(arch)))


def test_a_submission_sends_each_job_to_its_queue_once_and_nothing_that_has_to_wait(
    queues: Queues, foo: PackageHandle, bar: PackageHandle
) -> None:
    queues.submit(work(FOO, "amd64", "arm64"), work(BAR, "amd64", needs=(FOO,)))
    assert queues.arches("amd64", "arm64", "s390x") == BOTH
    assert queues.indexes() == []
    assert (state(foo), state(bar)) == (PackageState.BUILDING, PackageState.WAITING)


@pytest.mark.usefixtures("sent")
def test_a_submitter_subscribes_to_no_results(store: Store) -> None:
    """A subscription is ended when Python collects garbage, and with Redis away that takes an hour."""
    assert store.text.pubsub_channels("*celery-task-meta*") == []


@pytest.mark.usefixtures("sent")
def test_a_package_is_started_once(queues: Queues, foo: PackageHandle) -> None:
    assert not queues.start(foo)
    assert queues.arches("amd64", "arm64") == BOTH


def test_a_package_with_nothing_to_build_is_published_at_once(queues: Queues) -> None:
    existing = work(FOO, arches=("amd64",), existing=(image("amd64"),))
    queues.submit(existing)
    assert queues.indexes() == [FOO]


@pytest.mark.usefixtures("sent")
def test_a_job_that_waits_in_its_queue_is_left_there(queues: Queues) -> None:
    assert queues.reconcile() == 0
    assert queues.arches("amd64", "arm64") == BOTH


@pytest.mark.usefixtures("made")
def test_a_coordinator_that_died_before_it_started_anything_is_replaced(
    queues: Queues, foo: PackageHandle
) -> None:
    assert queues.reconcile() == 1
    assert queues.arches("amd64", "arm64") == BOTH
    assert state(foo) is PackageState.BUILDING


@pytest.mark.usefixtures("made")
def test_a_coordinator_that_is_alive_is_given_time(queues: Queues) -> None:
    assert queues.reconcile(after=0) == 0
    assert queues.arches("amd64", "arm64") == []


@pytest.mark.usefixtures("made")
def test_a_coordinator_that_died_before_its_messages_were_sent_is_replaced(
    queues: Queues, foo: PackageHandle
) -> None:
    move_package(foo, PackageState.BUILDING)
    coordinator.queue_job(foo.job("amd64"), expected_states=[JobState.WAITING])
    wait_for_all = [queues.reconcile() for _ in range(2)]
    assert sum(wait_for_all) >= 1
    assert sorted(queues.arches("amd64", "arm64")) == BOTH


@pytest.mark.usefixtures("sent")
def test_a_message_that_was_lost_is_sent_again_once(queues: Queues, foo: PackageHandle) -> None:
    assert queues.arches("amd64") == BOTH[:1]
    assert queues.reconcile() == 1
    assert queues.reconcile() == 0
    assert queues.arches("amd64", "arm64") == BOTH
    assert record(foo).lost == 0


@pytest.mark.usefixtures("sent")
def test_a_message_in_transit_is_given_time(queues: Queues) -> None:
    queues.arches("amd64")
    assert queues.reconcile(after=0) == 0
    assert queues.reconcile(after=2.5) == 0


@pytest.mark.usefixtures("sent")
def test_foreign_messages_do_not_prevent_reconciliation(queues: Queues) -> None:
    queues.take("build.amd64")
    queues.take("build.arm64")
    queues.app.send_task("somebody.elses", args=[1], queue="build.amd64")
    assert queues.reconcile() == 1
    assert queues.arches("arm64") == BOTH[1:]


@pytest.mark.usefixtures("sent")
def test_a_job_whose_holder_is_alive_is_left_alone_however_long_it_takes(
    store: Store, queues: Queues, foo: PackageHandle
) -> None:
    queues.arches("amd64", "arm64")
    lease = begin(foo.job("amd64"))
    drive_job(foo.job("arm64"), JobState.BUILT, Patch(image=image("arm64")))
    assert queues.reconcile(after=10_000) == 0
    assert leases.renew(store, lease)
    assert record(foo).state is JobState.BUILDING


@pytest.mark.usefixtures("sent")
def test_a_job_whose_worker_died_is_sent_again_once(queues: Queues, foo: PackageHandle) -> None:
    queues.arches("amd64")
    begin_and_die(foo.job("amd64"))
    assert queues.reconcile() == 1
    assert queues.reconcile() == 0
    assert queues.arches("amd64") == BOTH[:1]
    assert (record(foo).state, record(foo).lost) == (JobState.QUEUED, 1)


@pytest.mark.usefixtures("sent")
def test_a_lost_worker_that_returns_records_nothing(store: Store, queues: Queues, foo: PackageHandle) -> None:
    lease = begin(foo.job("amd64"))
    leases.release(store, lease)
    queues.reconcile()
    late = move_job(foo.job("amd64"), JobState.BUILT, Patch(image=image("amd64")), expected_token=lease.token)
    assert late is None


@pytest.mark.usefixtures("sent")
def test_leases_that_expired_while_redis_was_away_mean_no_lost_worker(
    queues: Queues, foo: PackageHandle
) -> None:
    queues.arches("amd64")
    begin_and_die(foo.job("amd64"))
    assert queues.reconcile(steady=False) == 0
    assert record(foo).state is JobState.BUILDING


@pytest.mark.usefixtures("sent")
def test_a_job_with_which_one_worker_after_another_is_lost_is_given_up(
    queues: Queues, foo: PackageHandle
) -> None:
    for _ in range(MAX_LOST):
        begin_and_die(foo.job("amd64"))
        assert queues.reconcile() == 1
        assert record(foo).state is JobState.QUEUED
    queues.arches("amd64")
    begin_and_die(foo.job("amd64"))
    assert queues.reconcile() >= 1
    assert record(foo).state is JobState.FAILED
    assert "linuxkit/foo amd64" in str(record(foo).error)
    assert "workers were lost while they worked on it" in str(record(foo).error)
    assert queues.arches("amd64") == []


@pytest.mark.usefixtures("sent")
def test_a_message_that_no_worker_accepts_is_sent_again_after_growing_pauses_and_given_up(
    queues: Queues, foo: PackageHandle
) -> None:
    for resent in range(MAX_RESENT):
        assert queues.arches("amd64") == BOTH[:1]
        # The pause after each time is twice as long.
        pause = 3 * 2**resent
        assert queues.reconcile(after=pause - 1) == 0
        assert queues.reconcile(after=2) == 1
    assert queues.arches("amd64") == BOTH[:1]
    queues.reconcile(after=1000)
    assert record(foo).state is JobState.FAILED
    assert "linuxkit/foo amd64: dispatched 9 times, no worker accepted it" in str(record(foo).error)
    assert queues.arches("amd64") == []


@pytest.mark.usefixtures("sent")
def test_a_message_that_was_accepted_may_be_lost_as_often_again(queues: Queues, foo: PackageHandle) -> None:
    queues.arches("amd64")
    queues.reconcile()
    assert record(foo).resent == 1
    begin(foo.job("amd64"))
    assert record(foo).resent == 0


@pytest.mark.usefixtures("sent")
def test_an_index_that_no_publisher_accepts_is_given_up(queues: Queues, foo: PackageHandle) -> None:
    build_all(foo)
    for _ in range(MAX_RESENT):
        queues.reconcile(after=1000)
        assert queues.indexes() == [FOO]
    queues.reconcile(after=1000)
    assert "dispatched 9 times, no publisher accepted it" in str(read_package(foo).error)


@pytest.mark.usefixtures("sent")
def test_a_job_that_waits_for_a_holder_that_died_is_sent_again(
    store: Store, queues: Queues, foo: PackageHandle
) -> None:
    queues.arches("amd64")
    lease = leases.take(store, leases.job_lease(job()), duration=60, holder="r0 w")
    move_job(foo.job("amd64"), JobState.QUEUED, Patch(waiting_for="r0 w", lease=lease.name))
    assert queues.reconcile() == 0
    leases.release(store, lease)
    assert queues.reconcile() == 1
    assert queues.arches("amd64") == BOTH[:1]


@pytest.mark.usefixtures("sent")
def test_a_callback_that_was_lost_is_sent_again_once_with_every_image(
    queues: Queues, foo: PackageHandle
) -> None:
    build_all(foo)
    assert queues.reconcile() == 1
    assert queues.reconcile() == 0
    (message,) = queues.take("publish")
    assert message["kwargs"] == {"run": "r1", "package": FOO}
    assert message["args"] == [[image("amd64").to_json(), image("arm64").to_json()]]


@pytest.mark.usefixtures("sent")
def test_a_callback_is_not_sent_while_a_job_is_in_progress(queues: Queues, foo: PackageHandle) -> None:
    drive_job(foo.job("arm64"), JobState.BUILT, Patch(image=image("arm64")))
    begin(foo.job("amd64"))
    queues.reconcile()
    assert queues.indexes() == []


@pytest.mark.usefixtures("sent")
def test_a_failure_that_was_not_settled_is_settled_with_all_dependents(
    queues: Queues, foo: PackageHandle, bar: PackageHandle, r1: RunHandle
) -> None:
    drive_job(foo.job("arm64"), JobState.BUILT, Patch(image=image("arm64")))
    move_job(foo.job("amd64"), JobState.FAILED, Patch(error=BuildFailedError("make failed")))
    assert queues.reconcile() >= 1
    assert (state(foo), state(bar)) == (PackageState.FAILED, PackageState.FAILED)
    ended = read_run(r1)
    assert ended.state is RunState.FAILED
    assert "make failed" in str(ended.packages[FOO].error)
    assert FOO in str(ended.packages[BAR].error)
    assert queues.indexes() == []


@pytest.mark.usefixtures("sent")
def test_an_index_whose_publisher_died_is_sent_again_and_given_up(queues: Queues, foo: PackageHandle) -> None:
    build_all(foo)
    for times in range(MAX_LOST + 1):
        move_package(foo, PackageState.PUBLISHING, Patch(token=f"t{times}", lease="index of foo"))
        assert queues.reconcile() >= 1
        assert queues.indexes() == ([FOO] if times < MAX_LOST else [])
    assert state(foo) is PackageState.FAILED
    assert "publishers were lost while they worked on it" in str(read_package(foo).error)


@pytest.mark.usefixtures("sent")
def test_dependents_are_started_although_the_publisher_died_before(
    queues: Queues, foo: PackageHandle
) -> None:
    queues.arches("amd64", "arm64")
    build_all(foo)
    drive_package(foo, PackageState.SIGNED, Patch(index=descriptor("index", None)))
    assert queues.reconcile() == 1
    assert queues.arches("amd64") == [f"{BAR} amd64"]
    assert queues.reconcile(after=0) == 0


def test_a_package_with_two_dependencies_waits_for_both(
    queues: Queues, foo: PackageHandle, bar: PackageHandle
) -> None:
    works = (work(FOO, "amd64"), work(BAR, "amd64"), work("linuxkit/top", "arm64", needs=(FOO, BAR)))
    queues.submit(*works)
    drive_package(foo, PackageState.PUBLISHED)
    assert coordinator.start_dependents(queues.app, foo) == []
    drive_package(bar, PackageState.SIGNED)
    assert coordinator.start_dependents(queues.app, bar) == ["linuxkit/top"]
    assert coordinator.start_dependents(queues.app, bar) == []
    assert queues.arches("arm64") == ["linuxkit/top arm64"]


@pytest.mark.usefixtures("sent")
def test_a_run_that_has_ended_is_kept_for_a_time_and_then_forgotten(
    store: Store, queues: Queues, foo: PackageHandle, bar: PackageHandle, r1: RunHandle
) -> None:
    for package in (foo, bar):
        drive_package(package, PackageState.SIGNED)
        coordinator.start_dependents(queues.app, package)
    reconcile(queues.app, store, keep=1.0)
    assert read_run(r1).state is RunState.DONE
    assert read_overdue(store, grace=0)[1] == []

    def gone() -> bool:
        try:
            read_run(r1)
        except StateError:
            return True
        return False

    wait_until(gone)
    assert runs.list_runs(store) == []


def test_only_a_title_is_shown_of_the_arguments_also_when_a_task_is_sent_again(queues: Queues) -> None:
    sent = dispatch.build_signature(queues.app, job())
    sent.apply_async()
    # The signature that a running task makes of itself lacks it.
    del sent.options["kwargsrepr"]
    dispatch.send_again(queues.app, json.dumps(sent))
    assert [message["shown"] for message in queues.take("build.amd64")] == [job().title] * 2


def test_a_run_whose_storing_lost_its_answer_is_not_stored_twice(
    redis_url: str, store: Store, queues: Queues, foo: PackageHandle
) -> None:
    with proxy(redis_url) as proxied:
        far = Store(Secret(proxied.in_place_of(redis_url)))
        loss = proxied.trip(containing("open-runs"), Hold.AFTER, drop=True)
        runs.create_run(far, run_of(work(FOO, "amd64")))
        far.close()
        assert loss.hits == 1
    assert state(foo) is PackageState.WAITING
    assert queues.reconcile() == 1
    assert len(store.text.zrange("farm:open-runs", 0, -1)) == 1


def test_a_run_that_could_not_be_stored_is_an_error(r1: RunHandle, redis_url: str) -> None:
    with proxy(redis_url) as proxied:
        far = Store(Secret(proxied.in_place_of(redis_url)))
        proxied.trip(containing("open-runs"), drop=True)
        with pytest.raises(StateUnavailableError, match="became unavailable while the run was stored"):
            runs.create_run(far, run_of(work(FOO, "amd64")))
        far.close()
    assert not runs.is_known(r1)


@pytest.mark.usefixtures("made")
def test_a_run_that_is_open_is_never_forgotten(store: Store, queues: Queues) -> None:
    queues.reconcile(after=10_000_000)
    assert [one.handle.id for one in read_overdue(store, grace=0)[1]] == ["r1"]


def test_a_run_whose_submitter_was_suspended_before_it_was_stored_is_started(
    redis_url: str, queues: Queues, monkeypatch: pytest.MonkeyPatch
) -> None:
    suspended = Store(Secret(redis_url))
    pipeline = suspended.text.pipeline()
    store_all = pipeline.execute

    def be_suspended() -> list[Any]:
        queues.reconcile(after=10_000)
        return store_all()

    monkeypatch.setattr(pipeline, "execute", be_suspended)
    monkeypatch.setattr(suspended.text, "pipeline", lambda: pipeline)
    runs.create_run(suspended, run_of(work(FOO, "amd64")))
    suspended.close()
    assert queues.reconcile() == 1
    assert queues.arches("amd64") == BOTH[:1]


def test_an_open_run_that_has_expired_is_forgotten(store: Store, queues: Queues, made: None) -> None:
    del made
    store.text.delete(*store.text.scan_iter("farm:{r1}:*"))
    assert queues.reconcile() == 0
    assert read_overdue(store, grace=0)[1] == []


def test_of_several_publishers_that_reconcile_none_takes_a_step_twice(
    store: Store, queues: Queues, foo: PackageHandle, made: None
) -> None:
    del made
    let_time_pass(store, "r1")
    stop = threading.Event()
    publishers = [
        threading.Thread(
            target=keep_reconciling,
            args=(queues.app, store),
            kwargs={"name": f"p{number}", "keep": KEEP, "stop": stop},
        )
        for number in range(3)
    ]
    for publisher in publishers:
        publisher.start()
    wait_until(lambda: state(foo) is PackageState.BUILDING)
    stop.set()
    for publisher in publishers:
        publisher.join()
    assert queues.arches("amd64", "arm64") == BOTH


@pytest.fixture
def away() -> Iterator[Celery]:
    """An application whose broker does not answer."""
    with make_app(Settings(broker=Secret(f"redis://127.0.0.1:{free_port()}/0")), tries=2) as app:
        yield app


@pytest.mark.usefixtures("made")
def test_a_broker_that_is_away_is_an_error_and_the_reconciler_starts_the_run(
    queues: Queues, foo: PackageHandle, away: Celery
) -> None:
    with pytest.raises(StateUnavailableError, match="broker"):
        coordinator.start_package(away, foo.run, read_work(foo))
    for _ in range(2):
        queues.reconcile()
    assert queues.arches("amd64", "arm64") == BOTH


def test_a_stored_run_counts_as_submitted_with_a_warning_although_the_broker_is_away(
    store: Store, queues: Queues, away: Celery, caplog: pytest.LogCaptureFixture
) -> None:
    coordinator.submit_run(away, store, run_of(work(FOO, "amd64")))
    warnings = [record for record in caplog.records if record.name == coordinator.__name__]
    assert [record.levelname for record in warnings] == ["WARNING"]
    assert "r1 is stored, but not all sent: the broker does not answer" in warnings[0].getMessage()
    for _ in range(2):
        queues.reconcile()
    assert queues.arches("amd64") == BOTH[:1]
