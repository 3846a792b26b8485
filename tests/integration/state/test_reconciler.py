"""What a death left undone is taken up again, once, by whoever looks: a real broker and no worker."""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING, Any

import pytest

from farm.errors import BuildFailedError, StateError, StateUnavailableError
from farm.model import JobState, PackageState, RunState
from farm.scheduling import coordinator
from farm.scheduling.celery_app import make_app
from farm.scheduling.reconciler import MOST_LOST, MOST_RESENT, keep_reconciling, reconcile
from farm.settings import Secret, Settings
from farm.state import leases, runs, transitions
from farm.state.overdue import read_overdue
from farm.state.store import Store
from lab.process import free_port
from tests.integration.state.conftest import Queues, let_time_pass
from tests.integration.state.lost_answers import losing_way
from tests.support.farm_command import wait_until
from tests.support.values import descriptor, image, job, run_of, work

if TYPE_CHECKING:
    from collections.abc import Iterator

    from celery import Celery

    from farm.state.records import JobRecord

FOO, BAR = "linuxkit/foo", "linuxkit/bar"
BOTH = [f"{FOO} amd64", f"{FOO} arm64"]
KEEP = 600.0


@pytest.fixture
def made(store: Store) -> None:
    """r1, stored and not started: foo for two architectures, bar after it."""
    runs.create_run(store, run_of(work(FOO, "amd64", "arm64"), work(BAR, "amd64", needs=(FOO,))))


@pytest.fixture
def sent(store: Store, queues: Queues, made: None) -> None:
    """r1, started."""
    del made
    assert coordinator.start(queues.app, store, "r1", runs.read_work(store, "r1", FOO))


def look(
    store: Store,
    queues: Queues,
    *,
    after: float = 60.0,
    steady: bool = True,
    told: set[str] | None = None,
) -> int:
    """Look once, after some time in which nobody did anything; returns how many steps were taken."""
    let_time_pass(store, "r1", after)
    return reconcile(queues.app, store, keep=KEEP, steady=steady, told=told)


def record(store: Store, arch: str = "amd64") -> JobRecord:
    return runs.read_jobs(store, "r1", FOO, [arch])[0]


def state(store: Store, package: str = FOO) -> PackageState:
    return runs.read_package_record(store, "r1", package).state


def build_all(store: Store) -> None:
    """Both of foo's builds end well."""
    for arch in ("amd64", "arm64"):
        transitions.move_job(store, "r1", FOO, arch, JobState.BUILT, image=image(arch))


def begin(store: Store, *, life: float = 60.0) -> leases.Lease:
    """A worker takes foo's build for amd64."""
    lease = leases.take(store, leases.job_lease(job()), life=life, holder="r1 w1")
    facts: dict[str, Any] = {"token": lease.token, "lease": lease.name, "worker": "w1"}
    assert transitions.move_job(store, "r1", FOO, "amd64", JobState.BUILDING, **facts)
    return lease


def test_a_submission_sends_each_build_to_its_queue_once_and_nothing_that_has_to_wait(
    store: Store, queues: Queues
) -> None:
    coordinator.submit(
        queues.app, store, run_of(work(FOO, "amd64", "arm64"), work(BAR, "amd64", needs=(FOO,)))
    )
    assert queues.arches("amd64", "arm64", "s390x") == BOTH
    assert queues.indexes() == []
    assert (state(store), state(store, BAR)) == (PackageState.BUILDING, PackageState.WAITING)


@pytest.mark.usefixtures("sent")
def test_who_submits_subscribes_to_no_results(store: Store) -> None:
    """A subscription is ended when Python collects garbage, and with Redis away that takes an hour."""
    assert store.text.pubsub_channels("*celery-task-meta*") == []


@pytest.mark.usefixtures("sent")
def test_a_package_is_started_once(store: Store, queues: Queues) -> None:
    assert not coordinator.start(queues.app, store, "r1", runs.read_work(store, "r1", FOO))
    assert queues.arches("amd64", "arm64") == BOTH


def test_a_package_with_nothing_to_build_is_published_at_once(store: Store, queues: Queues) -> None:
    standing = work(FOO, arches=("amd64",), standing=(image("amd64"),))
    coordinator.submit(queues.app, store, run_of(standing))
    assert queues.indexes() == [FOO]


@pytest.mark.usefixtures("sent")
def test_work_that_waits_in_its_queue_is_left_there(store: Store, queues: Queues) -> None:
    assert look(store, queues) == 0
    assert queues.arches("amd64", "arm64") == BOTH


@pytest.mark.usefixtures("made")
def test_a_coordinator_that_died_before_it_started_anything_is_stood_in_for(
    store: Store, queues: Queues
) -> None:
    assert look(store, queues) == 1
    assert queues.arches("amd64", "arm64") == BOTH
    assert state(store) is PackageState.BUILDING


@pytest.mark.usefixtures("made")
def test_a_coordinator_that_lives_is_given_its_time(store: Store, queues: Queues) -> None:
    assert reconcile(queues.app, store, keep=KEEP) == 0
    assert queues.arches("amd64", "arm64") == []


@pytest.mark.usefixtures("made")
def test_a_coordinator_that_died_before_its_messages_were_sent_is_stood_in_for(
    store: Store, queues: Queues
) -> None:
    transitions.move_package(store, "r1", FOO, PackageState.BUILDING)
    coordinator.queue_job(store, job("amd64"), come_from=[JobState.WAITING])
    wait_for_all = [look(store, queues) for _ in range(2)]
    assert sum(wait_for_all) >= 1
    assert sorted(queues.arches("amd64", "arm64")) == BOTH


@pytest.mark.usefixtures("sent")
def test_a_message_that_was_lost_is_sent_again_once(store: Store, queues: Queues) -> None:
    assert queues.arches("amd64") == BOTH[:1]
    assert look(store, queues) == 1
    assert look(store, queues) == 0
    assert queues.arches("amd64", "arm64") == BOTH
    assert record(store).lost == 0


@pytest.mark.usefixtures("sent")
def test_a_message_on_its_way_is_given_its_time(store: Store, queues: Queues) -> None:
    queues.arches("amd64")
    assert reconcile(queues.app, store, keep=KEEP) == 0
    assert look(store, queues, after=2.5) == 0


@pytest.mark.usefixtures("sent")
def test_messages_that_are_none_of_the_farms_do_not_keep_it_from_looking(
    store: Store, queues: Queues
) -> None:
    queues.take("build.amd64")
    queues.take("build.arm64")
    queues.app.send_task("somebody.elses", args=[1], queue="build.amd64")
    assert look(store, queues) == 1
    assert queues.arches("arm64") == BOTH[1:]


@pytest.mark.usefixtures("sent")
def test_work_in_a_living_hand_is_left_alone_however_long_it_takes(store: Store, queues: Queues) -> None:
    queues.arches("amd64", "arm64")
    lease = begin(store)
    transitions.move_job(store, "r1", FOO, "arm64", JobState.BUILT, image=image("arm64"))
    assert look(store, queues, after=10_000) == 0
    assert leases.keep(store, lease)
    assert record(store).state is JobState.BUILDING


@pytest.mark.usefixtures("sent")
def test_a_build_whose_worker_died_is_sent_again_once(store: Store, queues: Queues) -> None:
    queues.arches("amd64")
    leases.free(store, begin(store))
    assert look(store, queues) == 1
    assert look(store, queues) == 0
    assert queues.arches("amd64") == BOTH[:1]
    assert (record(store).state, record(store).lost) == (JobState.QUEUED, 1)


@pytest.mark.usefixtures("sent")
def test_a_dead_workers_late_word_counts_no_more(store: Store, queues: Queues) -> None:
    lease = begin(store)
    leases.free(store, lease)
    look(store, queues)
    late = transitions.move_job(
        store, "r1", FOO, "amd64", JobState.BUILT, holding=lease.token, image=image("amd64")
    )
    assert late is None


@pytest.mark.usefixtures("sent")
def test_leases_that_ran_out_while_redis_was_away_tell_of_no_death(store: Store, queues: Queues) -> None:
    queues.arches("amd64")
    leases.free(store, begin(store))
    assert look(store, queues, steady=False) == 0
    assert record(store).state is JobState.BUILDING


@pytest.mark.usefixtures("sent")
def test_a_build_that_kills_one_worker_after_another_is_given_up(store: Store, queues: Queues) -> None:
    for _ in range(MOST_LOST):
        leases.free(store, begin(store))
        assert look(store, queues) == 1
        assert record(store).state is JobState.QUEUED
    queues.arches("amd64")
    leases.free(store, begin(store))
    assert look(store, queues) >= 1
    assert record(store).state is JobState.FAILED
    assert "linuxkit/foo amd64" in record(store).why
    assert "workers were lost with it" in record(store).why
    assert queues.arches("amd64") == []


@pytest.mark.usefixtures("sent")
def test_a_message_that_nobody_takes_up_is_sent_again_after_growing_pauses_and_given_up_in_the_end(
    store: Store, queues: Queues
) -> None:
    for resent in range(MOST_RESENT):
        assert queues.arches("amd64") == BOTH[:1]
        # The pause after each time is twice as long.
        pause = 3 * 2**resent
        assert look(store, queues, after=pause - 1) == 0
        assert look(store, queues, after=2) == 1
    assert queues.arches("amd64") == BOTH[:1]
    look(store, queues, after=1000)
    assert record(store).state is JobState.FAILED
    assert "linuxkit/foo amd64: was sent 9 times, and no worker took it up" in record(store).why
    assert queues.arches("amd64") == []


@pytest.mark.usefixtures("sent")
def test_a_message_that_was_taken_up_may_be_lost_as_often_again(store: Store, queues: Queues) -> None:
    queues.arches("amd64")
    look(store, queues)
    assert record(store).resent == 1
    begin(store)
    assert record(store).resent == 0


@pytest.mark.usefixtures("sent")
def test_an_index_that_no_publisher_takes_up_is_given_up_in_the_end(store: Store, queues: Queues) -> None:
    build_all(store)
    for _ in range(MOST_RESENT):
        look(store, queues, after=1000)
        assert queues.indexes() == [FOO]
    look(store, queues, after=1000)
    assert "was sent 9 times, and no publisher took it up" in runs.read_package_record(store, "r1", FOO).why


@pytest.mark.usefixtures("sent")
def test_who_waited_for_another_that_ended_without_a_word_is_sent_again(store: Store, queues: Queues) -> None:
    queues.arches("amd64")
    lease = leases.take(store, leases.job_lease(job()), life=60, holder="r0 w")
    transitions.move_job(store, "r1", FOO, "amd64", JobState.QUEUED, behind="r0 w", lease=lease.name)
    assert look(store, queues) == 0
    leases.free(store, lease)
    assert look(store, queues) == 1
    assert queues.arches("amd64") == BOTH[:1]


@pytest.mark.usefixtures("sent")
def test_a_callback_that_was_lost_is_sent_again_once_with_every_image(store: Store, queues: Queues) -> None:
    build_all(store)
    assert look(store, queues) == 1
    assert look(store, queues) == 0
    (message,) = queues.take("publish")
    assert message["kwargs"] == {"run": "r1", "package": FOO}
    assert message["args"] == [[image("amd64").to_json(), image("arm64").to_json()]]


@pytest.mark.usefixtures("sent")
def test_a_callback_is_not_sent_while_a_build_is_under_way(store: Store, queues: Queues) -> None:
    transitions.move_job(store, "r1", FOO, "arm64", JobState.BUILT, image=image("arm64"))
    begin(store)
    look(store, queues)
    assert queues.indexes() == []


@pytest.mark.usefixtures("sent")
def test_a_failure_that_nobody_settled_is_settled_with_all_that_needs_it(
    store: Store, queues: Queues
) -> None:
    transitions.move_job(store, "r1", FOO, "arm64", JobState.BUILT, image=image("arm64"))
    transitions.move_job(store, "r1", FOO, "amd64", JobState.FAILED, error=BuildFailedError("make failed"))
    assert look(store, queues) >= 1
    assert (state(store), state(store, BAR)) == (PackageState.FAILED, PackageState.FAILED)
    ended = runs.read_run(store, "r1")
    assert ended.state is RunState.FAILED
    assert "make failed" in ended.packages[FOO].why
    assert FOO in ended.packages[BAR].why
    assert queues.indexes() == []


@pytest.mark.usefixtures("sent")
def test_an_index_whose_publisher_died_is_sent_again_and_given_up_in_the_end(
    store: Store, queues: Queues
) -> None:
    build_all(store)
    for times in range(MOST_LOST + 1):
        transitions.move_package(
            store, "r1", FOO, PackageState.PUBLISHING, token=f"t{times}", lease="index of foo"
        )
        assert look(store, queues) >= 1
        assert queues.indexes() == ([FOO] if times < MOST_LOST else [])
    assert state(store) is PackageState.FAILED
    assert "publishers were lost with it" in runs.read_package_record(store, "r1", FOO).why


@pytest.mark.usefixtures("sent")
def test_what_waits_for_a_package_is_started_although_its_publisher_died_first(
    store: Store, queues: Queues
) -> None:
    queues.arches("amd64", "arm64")
    build_all(store)
    transitions.move_package(store, "r1", FOO, PackageState.SIGNED, index=descriptor("index", None))
    assert look(store, queues) == 1
    assert queues.arches("amd64") == [f"{BAR} amd64"]
    assert look(store, queues, after=0) == 0


def test_what_needs_two_packages_waits_for_both(store: Store, queues: Queues) -> None:
    works = (work(FOO, "amd64"), work(BAR, "amd64"), work("linuxkit/top", "arm64", needs=(FOO, BAR)))
    coordinator.submit(queues.app, store, run_of(*works))
    transitions.move_package(store, "r1", FOO, PackageState.PUBLISHED)
    assert coordinator.landed(queues.app, store, "r1", FOO) == []
    transitions.move_package(store, "r1", BAR, PackageState.SIGNED)
    assert coordinator.landed(queues.app, store, "r1", BAR) == ["linuxkit/top"]
    assert coordinator.landed(queues.app, store, "r1", BAR) == []
    assert queues.arches("arm64") == ["linuxkit/top arm64"]


@pytest.mark.usefixtures("sent")
def test_a_run_that_has_ended_is_kept_for_its_time_and_then_forgotten(store: Store, queues: Queues) -> None:
    for package in (FOO, BAR):
        transitions.move_package(store, "r1", package, PackageState.SIGNED)
        coordinator.landed(queues.app, store, "r1", package)
    reconcile(queues.app, store, keep=1.0)
    assert runs.read_run(store, "r1").state is RunState.DONE
    assert read_overdue(store, grace=0)[1] == []

    def gone() -> bool:
        try:
            runs.read_run(store, "r1")
        except StateError:
            return True
        return False

    wait_until(gone)
    assert runs.list_runs(store) == []


def test_arguments_are_shown_by_a_title_alone_also_when_a_task_is_sent_again(queues: Queues) -> None:
    sent = coordinator.build_signature(queues.app, job())
    sent.apply_async()
    # What a task says of itself when it has to wait for a lease.
    del sent.options["kwargsrepr"]
    coordinator.resend(queues.app, json.dumps(sent))
    assert [message["shown"] for message in queues.take("build.amd64")] == [job().title] * 2


def test_a_run_whose_storing_was_not_heard_of_is_not_stored_over_what_became_of_it(
    redis_url: str, store: Store, queues: Queues
) -> None:
    with losing_way(redis_url) as way:
        there = Store(Secret(way.url))
        way.lose_answer_to("open-runs")
        runs.create_run(there, run_of(work(FOO, "amd64")))
        there.close()
        assert way.lost == 1
    assert state(store) is PackageState.WAITING
    assert look(store, queues) == 1
    assert len(store.text.zrange("farm:open-runs", 0, -1)) == 1


def test_a_run_that_could_not_be_stored_is_told(redis_url: str, store: Store) -> None:
    with losing_way(redis_url) as way:
        there = Store(Secret(way.url))
        way.lose("open-runs")
        with pytest.raises(StateUnavailableError, match="went away while the run was stored"):
            runs.create_run(there, run_of(work(FOO, "amd64")))
        there.close()
    assert not runs.is_known(store, "r1")


@pytest.mark.usefixtures("made")
def test_a_run_that_is_open_is_never_forgotten(store: Store, queues: Queues) -> None:
    look(store, queues, after=10_000_000)
    assert [one.run for one in read_overdue(store, grace=0)[1]] == ["r1"]


def test_a_run_whose_submitter_slept_before_it_was_stored_is_taken_up(
    redis_url: str, store: Store, queues: Queues, monkeypatch: pytest.MonkeyPatch
) -> None:
    asleep = Store(Secret(redis_url))
    pipeline = asleep.text.pipeline()
    store_all = pipeline.execute

    def sleep_first() -> list[Any]:
        look(store, queues, after=10_000)
        return store_all()

    monkeypatch.setattr(pipeline, "execute", sleep_first)
    monkeypatch.setattr(asleep.text, "pipeline", lambda: pipeline)
    runs.create_run(asleep, run_of(work(FOO, "amd64")))
    asleep.close()
    assert look(store, queues) == 1
    assert queues.arches("amd64") == BOTH[:1]


def test_a_run_that_is_named_and_gone_is_forgotten(store: Store, queues: Queues, made: None) -> None:
    del made
    store.text.delete(*store.text.scan_iter("farm:{r1}:*"))
    assert look(store, queues) == 0
    assert read_overdue(store, grace=0)[1] == []


def test_of_several_who_look_all_the_while_none_does_a_step_twice(
    store: Store, queues: Queues, made: None
) -> None:
    del made
    let_time_pass(store, "r1")
    until = threading.Event()
    lookers = [
        threading.Thread(
            target=keep_reconciling,
            args=(queues.app, store),
            kwargs={"name": f"p{number}", "keep": KEEP, "until": until},
        )
        for number in range(3)
    ]
    for looker in lookers:
        looker.start()
    wait_until(lambda: state(store) is PackageState.BUILDING)
    until.set()
    for looker in lookers:
        looker.join()
    assert queues.arches("amd64", "arm64") == BOTH


@pytest.fixture
def away() -> Iterator[Celery]:
    """An application whose broker does not answer."""
    with make_app(Settings(broker=Secret(f"redis://127.0.0.1:{free_port()}/0")), tries=2) as app:
        yield app


@pytest.mark.usefixtures("made")
def test_a_broker_that_is_away_is_told_and_leaves_the_run_to_be_taken_up(
    store: Store, queues: Queues, away: Celery
) -> None:
    with pytest.raises(StateUnavailableError, match="broker"):
        coordinator.start(away, store, "r1", runs.read_work(store, "r1", FOO))
    for _ in range(2):
        look(store, queues)
    assert queues.arches("amd64", "arm64") == BOTH


def test_a_run_that_is_stored_is_submitted_though_the_broker_is_away_and_who_submits_is_told(
    store: Store, queues: Queues, away: Celery, caplog: pytest.LogCaptureFixture
) -> None:
    coordinator.submit(away, store, run_of(work(FOO, "amd64")))
    told = [record for record in caplog.records if record.name == coordinator.__name__]
    assert [record.levelname for record in told] == ["WARNING"]
    assert "r1 is stored, but not all sent: the broker does not answer" in told[0].getMessage()
    for _ in range(2):
        look(store, queues)
    assert queues.arches("amd64") == BOTH[:1]
