"""Lost work is dispatched again, once: a real broker and no worker."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

import pytest

from farm.errors import BuildFailedError, StateError, StateUnavailableError
from farm.model import JobState, PackageState, RunState
from farm.planning.wait_reasons import explain
from farm.scheduling import coordinator, dispatch
from farm.scheduling.celery_app import BUILD, Priority, make_app, redis_list
from farm.scheduling.reconciler import reconcile
from farm.scheduling.requeue import MAX_LOST, MAX_RESENT
from farm.scheduling.send_ready import send_ready
from farm.settings import Secret, Settings
from farm.state import leases, runs
from farm.state.overdue import read_overdue
from farm.state.queue_positions import read_queue_positions
from farm.state.records import JobPatch, PackagePatch
from farm.state.run_handles import RunHandle
from farm.state.run_list import list_runs
from farm.state.run_names import is_known
from farm.state.runs import read_package, read_run, read_work
from farm.state.store import Store, lease_key
from farm.state.transitions import move_job, move_package
from farm.state.workers import WorkerInfo, record_heartbeat
from lab.process import free_port
from tests.integration.state.conftest import Farm, let_time_pass, reconciling
from tests.integration.state.steps import begin, begin_and_die, drive
from tests.support.farm_command import wait_until
from tests.support.proxy.tcp import proxy
from tests.support.proxy.tripwire import Hold, containing
from tests.support.values import image, job, ordered, run_of, work
from workers.admission import admission

if TYPE_CHECKING:
    from collections.abc import Iterator

    from celery import Celery

    from farm.state.run_handles import PackageHandle

FOO, BAR = "linuxkit/foo", "linuxkit/bar"
BOTH = [f"{FOO} amd64", f"{FOO} arm64"]


@pytest.fixture
def made(farm: Farm) -> Farm:
    """r1, stored and not started: foo for two architectures, bar after it."""
    runs.create_run(
        farm.store, ordered(run_of(work(FOO, "amd64", "arm64"), work(BAR, "amd64", needs=(FOO,))))
    )
    return farm


@pytest.fixture
def sent(made: Farm) -> Farm:
    """r1, started."""
    assert made.start(made.foo)
    return made


def state(package: PackageHandle) -> PackageState:
    return read_package(package).state


def build_all(farm: Farm) -> None:
    """Both of foo's jobs succeed."""
    for arch in ("amd64", "arm64"):
        drive(farm.foo.job(arch), JobState.BUILT, JobPatch(image=image(arch)))


def test_a_submission_sends_each_job_to_its_queue_once_and_nothing_that_has_to_wait(farm: Farm) -> None:
    farm.submit(work(FOO, "amd64", "arm64"), work(BAR, "amd64", needs=(FOO,)))
    assert farm.arches("amd64", "arm64", "s390x") == BOTH
    assert farm.indexes() == []
    assert (state(farm.foo), state(farm.bar)) == (PackageState.BUILDING, PackageState.WAITING)


def test_a_submitter_subscribes_to_no_results(sent: Farm) -> None:
    """A subscription is ended when Python collects garbage, and with Redis away that takes an hour."""
    assert sent.store.text.pubsub_channels("*celery-task-meta*") == []


def test_a_package_is_started_once_and_a_job_in_its_queue_is_left_there(sent: Farm) -> None:
    assert not sent.start(sent.foo)
    assert sent.reconcile() == 0
    assert sent.arches("amd64", "arm64") == BOTH


def test_a_package_with_nothing_to_build_is_published_at_once(farm: Farm) -> None:
    existing = work(FOO, arches=("amd64",), existing=(image("amd64"),))
    farm.submit(existing)
    assert farm.indexes() == [FOO]


def test_a_coordinator_that_is_alive_is_given_time(made: Farm) -> None:
    assert made.reconcile(after=0) == 0
    assert made.arches("amd64", "arm64") == []


def test_a_message_that_was_lost_is_sent_again_once(sent: Farm) -> None:
    assert sent.arches("amd64") == BOTH[:1]
    assert sent.reconcile() == 1
    assert sent.reconcile() == 0
    assert sent.arches("amd64", "arm64") == BOTH
    assert sent.record.lost == 0


def test_foreign_messages_do_not_prevent_reconciliation(sent: Farm) -> None:
    sent.take("build.amd64")
    sent.take("build.arm64")
    sent.app.send_task("somebody.elses", args=[1], queue="build.amd64", priority=Priority.NEW)
    assert sent.reconcile() == 1
    assert sent.arches("arm64") == BOTH[1:]


def test_a_job_whose_holder_is_alive_is_left_alone_however_long_it_takes(sent: Farm) -> None:
    sent.arches("amd64", "arm64")
    lease = begin(sent.job)
    drive(sent.foo.job("arm64"), JobState.BUILT, JobPatch(image=image("arm64")))
    assert sent.reconcile(after=10_000) == 0
    assert leases.renew(sent.store, lease)
    assert sent.record.state is JobState.BUILDING


def test_leases_that_expired_while_redis_was_away_mean_no_lost_worker(sent: Farm) -> None:
    sent.arches("amd64")
    begin_and_die(sent.job)
    assert sent.reconcile(steady=False) == 0
    assert sent.record.state is JobState.BUILDING


def test_a_job_whose_workers_die_is_sent_again_once_each_time_and_given_up_in_the_end(sent: Farm) -> None:
    sent.arches("amd64")
    for lost in range(MAX_LOST):
        begin_and_die(sent.job)
        assert [sent.reconcile(), sent.reconcile()] == [1, 0]
        assert (sent.record.state, sent.record.lost) == (JobState.QUEUED, lost + 1)
        assert sent.arches("amd64") == BOTH[:1]
    begin_and_die(sent.job)
    assert sent.reconcile() >= 1
    assert sent.record.state is JobState.FAILED
    assert "linuxkit/foo amd64" in str(sent.record.error)
    assert "workers were lost while they worked on it" in str(sent.record.error)
    assert sent.arches("amd64") == []


def test_a_message_that_no_worker_accepts_is_sent_again_after_growing_pauses_and_given_up(sent: Farm) -> None:
    for resent in range(MAX_RESENT):
        assert sent.arches("amd64") == BOTH[:1]
        # The pause after each time is twice as long.
        pause = 3 * 2**resent
        assert sent.reconcile(after=pause - 1) == 0
        assert sent.reconcile(after=2) == 1
    assert sent.arches("amd64") == BOTH[:1]
    sent.reconcile(after=1000)
    assert sent.record.state is JobState.FAILED
    assert "linuxkit/foo amd64: dispatched 9 times, no worker accepted it" in str(sent.record.error)
    assert sent.arches("amd64") == []


def test_a_message_that_was_accepted_may_be_lost_as_often_again(sent: Farm) -> None:
    sent.arches("amd64")
    sent.reconcile()
    assert sent.record.resent == 1
    begin(sent.job)
    assert sent.record.resent == 0


def test_an_index_that_no_publisher_accepts_is_given_up(sent: Farm) -> None:
    build_all(sent)
    for _ in range(MAX_RESENT):
        sent.reconcile(after=1000)
        assert sent.indexes() == [FOO]
    sent.reconcile(after=1000)
    assert "dispatched 9 times, no publisher accepted it" in str(read_package(sent.foo).error)


def test_a_requeued_job_is_built_before_everything_that_was_pushed_after_it(sent: Farm) -> None:
    """Also one that was handed back, or waited for another build, and whoever sends the messages."""
    assert sent.arches("amd64") == BOTH[:1]
    begin_and_die(sent.job)
    sent.submit(work(BAR, "amd64", run="r2"), run="r2")
    sent.reconcile("r1")
    handed_back = dispatch.build_signature(sent.app, job(package="linuxkit/back"))
    dispatch.send_again(sent.app, json.dumps(handed_back))
    later = run_of(work("linuxkit/later", "amd64", run="r6"), run="r6")
    # A publisher has imported the tasks, and a machine that submits has not.
    sent.app.loader.import_module("tasks.build_and_push")
    sent.start(runs.create_run(sent.store, ordered(later)).package("linuxkit/later"))
    assert sent.arches("amd64") == [f"{package} amd64" for package in (FOO, "linuxkit/back", BAR)]
    send_ready(sent.app, sent.store)
    assert sent.arches("amd64") == ["linuxkit/later amd64"]


@pytest.mark.parametrize("by_celery", [False, True])
def test_a_worker_accepts_the_message_of_a_task_that_another_one_sent_again(
    sent: Farm, *, by_celery: bool
) -> None:
    accept = admission(["amd64"], publisher=False).task
    sent.app.loader.import_module("tasks.build_and_push")
    task = sent.app.tasks[BUILD]

    def accepted(priority: Priority) -> dict[str, Any]:
        text = sent.store.text.lpop(redis_list("build.amd64", priority))
        assert isinstance(text, str)
        return accept("build.amd64", json.loads(text))

    first = accepted(Priority.NEW)
    delivered = {"args": [], "kwargs": {}, "delivery_info": first["properties"]["delivery_info"]}
    task.push_request(**first["headers"], **delivered)
    try:
        if by_celery:
            task.signature_from_request(kwargs=_kwargs(first)).apply_async(priority=Priority.REQUEUED)
        else:
            dispatch.send_again(sent.app, json.dumps(task.signature_from_request(kwargs=_kwargs(first))))
    finally:
        task.pop_request()
    again = accepted(Priority.REQUEUED)
    assert (again["headers"]["id"], _kwargs(again)) == (first["headers"]["id"], _kwargs(first))


def _kwargs(message: dict[str, Any]) -> dict[str, str]:
    _, found, _ = json.loads(base64.b64decode(message["body"]))
    return dict(found)


def test_a_requeued_message_that_is_lost_again_is_noticed_behind_any_number_of_older_ones(sent: Farm) -> None:
    sent.arches("amd64")
    begin_and_die(sent.job)
    sent.submit(work(BAR, "amd64", run="r2"), run="r2")
    let_time_pass(sent.store, "r2", 100)
    sent.reconcile("r1")
    assert sent.store.text.lpop(redis_list("build.amd64", Priority.REQUEUED))
    assert sent.reconcile("r1") == 1
    assert sent.arches("amd64") == [BOTH[0], f"{BAR} amd64"]


def test_a_requeued_job_is_told_its_place_and_later_ones_that_it_is_ahead_of_them(sent: Farm) -> None:
    sent.arches("amd64")
    begin_and_die(sent.job)
    for run in ("r2", "r3"):
        sent.submit(work(BAR, "amd64", run=run), run=run)
    sent.reconcile("r1")
    record_heartbeat(sent.store, WorkerInfo("w", ("amd64",), publisher=False, slots=1, engine=""))
    waits = []
    for run, package in (("r1", FOO), ("r2", BAR), ("r3", BAR)):
        record = read_run(RunHandle(sent.store, run))
        waits.append(explain(record, read_queue_positions(sent.store, record))[package, "amd64"])
    assert waits == ["about to start", "behind 1 job", "behind 2 jobs"]


def test_a_job_that_waits_for_a_holder_that_died_is_sent_again(sent: Farm) -> None:
    sent.arches("amd64")
    lease = leases.take(sent.store, leases.job_lease(job()), duration=60, holder="r0 w")
    move_job(sent.job, JobState.QUEUED, JobPatch(waiting_for="r0 w", lease=lease.name))
    assert sent.reconcile() == 0
    leases.release(sent.store, lease)
    assert sent.reconcile() == 1
    assert sent.arches("amd64") == BOTH[:1]


def test_a_callback_that_was_lost_is_sent_again_once_with_every_image(sent: Farm) -> None:
    build_all(sent)
    assert sent.reconcile() == 1
    assert sent.reconcile() == 0
    (message,) = sent.take("publish")
    assert message["kwargs"] == {"run": "r1", "package": FOO}
    assert message["args"] == [[image("amd64").to_json(), image("arm64").to_json()]]


def test_a_callback_is_not_sent_while_a_job_is_in_progress(sent: Farm) -> None:
    drive(sent.foo.job("arm64"), JobState.BUILT, JobPatch(image=image("arm64")))
    begin(sent.job)
    sent.reconcile()
    assert sent.indexes() == []


def test_a_failure_that_was_not_settled_is_settled_with_all_dependents(sent: Farm) -> None:
    drive(sent.foo.job("arm64"), JobState.BUILT, JobPatch(image=image("arm64")))
    move_job(sent.job, JobState.FAILED, JobPatch(error=BuildFailedError("make failed")))
    assert sent.reconcile() >= 1
    assert (state(sent.foo), state(sent.bar)) == (PackageState.FAILED, PackageState.FAILED)
    ended = read_run(sent.r1)
    assert ended.state is RunState.FAILED
    assert "make failed" in str(ended.packages[FOO].error)
    assert FOO in str(ended.packages[BAR].error)
    assert sent.indexes() == []


def test_a_failure_ends_every_dependent_in_a_chain_of_five_hundred(farm: Farm) -> None:
    names = [f"linuxkit/p{number:03}" for number in range(500)]
    chain = zip(names, [(), *((name,) for name in names)], strict=False)
    run = runs.create_run(
        farm.store, ordered(run_of(*(work(name, "amd64", needs=needs) for name, needs in chain)))
    )
    coordinator.end_package(run.package(names[0]), BuildFailedError("make failed"))
    assert read_run(run).state is RunState.FAILED
    assert {package.state for package in read_run(run).packages.values()} == {PackageState.FAILED}


def test_an_index_whose_publisher_died_is_sent_again_and_given_up(sent: Farm) -> None:
    build_all(sent)
    for times in range(MAX_LOST + 1):
        move_package(sent.foo, PackageState.PUBLISHING, PackagePatch(token=f"t{times}", lease="index of foo"))
        assert sent.reconcile() >= 1
        assert sent.indexes() == ([FOO] if times < MAX_LOST else [])
    assert state(sent.foo) is PackageState.FAILED
    assert "publishers were lost while they worked on it" in str(read_package(sent.foo).error)


def test_a_package_with_two_dependencies_waits_for_both(farm: Farm) -> None:
    works = (work(FOO, "amd64"), work(BAR, "amd64"), work("linuxkit/top", "arm64", needs=(FOO, BAR)))
    farm.submit(*works)
    drive(farm.foo, PackageState.PUBLISHED)
    assert coordinator.start_dependents(farm.app, farm.foo) == []
    drive(farm.bar, PackageState.SIGNED)
    assert coordinator.start_dependents(farm.app, farm.bar) == [farm.r1.package("linuxkit/top")]
    assert coordinator.start_dependents(farm.app, farm.bar) == []
    assert farm.arches("arm64") == ["linuxkit/top arm64"]


def test_a_run_that_has_ended_is_kept_for_a_time_and_then_forgotten(sent: Farm) -> None:
    for package in (sent.foo, sent.bar):
        drive(package, PackageState.SIGNED)
        coordinator.start_dependents(sent.app, package)
    reconcile(sent.app, sent.store, keep=1.0)
    assert read_run(sent.r1).state is RunState.DONE
    assert read_overdue(sent.store, grace=0)[1] == []

    def gone() -> bool:
        try:
            read_run(sent.r1)
        except StateError:
            return True
        return False

    wait_until(gone)
    assert list_runs(sent.store) == []


def test_only_a_title_is_shown_of_the_arguments_also_when_a_task_is_sent_again(farm: Farm) -> None:
    sent = dispatch.build_signature(farm.app, job())
    sent.apply_async()
    # The signature that a running task makes of itself lacks it.
    del sent.options["kwargsrepr"]
    dispatch.send_again(farm.app, json.dumps(sent))
    assert [message["shown"] for message in farm.take("build.amd64")] == [job().title] * 2


def test_a_run_whose_storing_lost_its_answer_is_not_stored_twice(farm: Farm, redis_url: str) -> None:
    with proxy(redis_url) as proxied:
        far = Store(Secret(proxied.in_place_of(redis_url)))
        loss = proxied.trip(containing("open-runs"), Hold.AFTER, drop=True)
        runs.create_run(far, ordered(run_of(work(FOO, "amd64"))))
        far.close()
        assert loss.hits == 1
    assert state(farm.foo) is PackageState.WAITING
    assert farm.reconcile() == 1
    assert len(farm.store.text.zrange("farm:open-runs", 0, -1)) == 1


def test_a_run_that_could_not_be_stored_is_an_error(farm: Farm, redis_url: str) -> None:
    with proxy(redis_url) as proxied:
        far = Store(Secret(proxied.in_place_of(redis_url)))
        proxied.trip(containing("open-runs"), drop=True)
        with pytest.raises(StateUnavailableError, match="became unavailable while the run was stored"):
            runs.create_run(far, ordered(run_of(work(FOO, "amd64"))))
        far.close()
    assert not is_known(farm.r1)


def test_a_run_that_is_open_is_never_forgotten(made: Farm) -> None:
    made.reconcile(after=10_000_000)
    assert [one.handle.id for one in read_overdue(made.store, grace=0)[1]] == ["r1"]


def test_a_run_whose_submitter_was_suspended_before_it_was_stored_is_started(
    farm: Farm, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    suspended = Store(Secret(redis_url))
    pipeline = suspended.text.pipeline()
    store_all = pipeline.execute

    def be_suspended() -> list[Any]:
        farm.reconcile(after=10_000)
        return store_all()

    monkeypatch.setattr(pipeline, "execute", be_suspended)
    monkeypatch.setattr(suspended.text, "pipeline", lambda: pipeline)
    runs.create_run(suspended, ordered(run_of(work(FOO, "amd64"))))
    suspended.close()
    assert farm.reconcile() == 1
    assert farm.arches("amd64") == BOTH[:1]


def test_an_open_run_that_has_expired_is_forgotten(made: Farm) -> None:
    made.store.text.delete(*made.store.text.scan_iter("farm:{r1}:*"))
    assert made.reconcile() == 0
    assert read_overdue(made.store, grace=0)[1] == []


def test_a_clock_that_is_set_back_an_hour_stops_no_recovery(sent: Farm) -> None:
    """All that waits does so since a time in the future, and every lease lasts an hour longer."""
    sent.arches("amd64", "arm64")
    lease = begin(sent.job)
    sent.submit(work(BAR, "s390x", run="r2"), run="r2")
    for run in ("r1", "r2"):
        let_time_pass(sent.store, run, -3600)
    sent.store.text.pexpire(lease_key(lease.name, "lease"), 3_660_000)
    assert sent.reconcile(after=0) == 0
    with reconciling(sent):
        wait_until(lambda: BOTH[1] in sent.arches("arm64"))
    assert 0 < int(str(sent.store.text.pttl(lease_key(lease.name, "lease")))) <= 60_000
    leases.release(sent.store, lease)
    assert sent.reconcile(after=0) == 1
    assert sent.arches("amd64", "s390x") == [BOTH[0], f"{BAR} s390x"]


def test_of_several_publishers_that_reconcile_none_takes_a_step_twice(made: Farm) -> None:
    let_time_pass(made.store, "r1")
    with reconciling(made, 3):
        wait_until(lambda: state(made.foo) is PackageState.BUILDING)
    assert made.arches("amd64", "arm64") == BOTH


@pytest.fixture
def away() -> Iterator[Celery]:
    """An application whose broker does not answer."""
    with make_app(Settings(broker=Secret(f"redis://127.0.0.1:{free_port()}/0")), tries=2) as app:
        yield app


def test_a_broker_that_is_away_is_an_error_and_the_reconciler_starts_the_run(
    made: Farm, away: Celery
) -> None:
    with pytest.raises(StateUnavailableError, match="broker"):
        coordinator.start_packages(away, made.foo.run, [read_work(made.foo)])
    for _ in range(2):
        made.reconcile()
    assert made.arches("amd64", "arm64") == BOTH


def test_a_stored_run_counts_as_submitted_with_a_warning_although_the_broker_is_away(
    farm: Farm, away: Celery, caplog: pytest.LogCaptureFixture
) -> None:
    coordinator.submit_run(away, farm.store, ordered(run_of(work(FOO, "amd64"))))
    warnings = [record for record in caplog.records if record.name == coordinator.__name__]
    assert [record.levelname for record in warnings] == ["WARNING"]
    assert "r1 is stored, but not all sent: the broker does not answer" in warnings[0].getMessage()
    for _ in range(2):
        farm.reconcile()
    assert farm.arches("amd64") == BOTH[:1]
