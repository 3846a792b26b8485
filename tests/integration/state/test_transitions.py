"""Transitions: each is made once, by the right holder, and reported in order."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from farm.errors import BuildFailedError, StateError, StateUnavailableError
from farm.model import JobState, PackageState, RunState
from farm.settings import Secret
from farm.state import runs
from farm.state.following import run_events
from farm.state.overdue import read_overdue
from farm.state.records import Patch
from farm.state.run_handles import RunHandle
from farm.state.runs import all_succeeded, dependents, read_jobs, read_package, read_run, read_work
from farm.state.store import Store
from farm.state.transitions import clear_due, move_job, move_package
from lab.process import free_port
from tests.integration.state.conftest import let_time_pass
from tests.integration.state.steps import drive_job, drive_package
from tests.support.values import descriptor, image, run_of, work

if TYPE_CHECKING:
    from farm.state.overdue import OverdueRun
    from farm.state.records import JobRecord
    from farm.state.run_handles import JobHandle, PackageHandle

FOO, BAR = "linuxkit/foo", "linuxkit/bar"


@pytest.fixture(autouse=True)
def run(store: Store) -> None:
    """r1: foo for two architectures and one that exists, bar after it."""
    jobs = work(FOO, "amd64", "arm64").jobs
    foo = work(FOO, arches=("amd64", "arm64", "s390x"), jobs=jobs, existing=(image("s390x"),))
    runs.create_run(store, run_of(foo, work(BAR, "amd64", needs=(FOO,))))


@pytest.fixture
def job(foo: PackageHandle) -> JobHandle:
    """The job of foo for amd64."""
    return foo.job("amd64")


def read(job: JobHandle) -> JobRecord:
    return read_jobs(job.package, [job.arch])[0]


def overdue(store: Store) -> OverdueRun:
    """What waits in r1."""
    return next(one for one in read_overdue(store, grace=0)[1] if one.handle.id == "r1")


def due(store: Store) -> list[str]:
    return [package.name for package, _ in overdue(store).due]


def events(run: RunHandle) -> list[tuple[str, str]]:
    """All events so far."""
    found: list[tuple[str, str]] = []
    for event in run_events(run):
        if event is None:
            break
        found.append(event)
    return found


def test_a_new_run_has_the_images_that_exist_and_waits_for_the_rest(store: Store, r1: RunHandle) -> None:
    record = read_run(r1)
    assert (record.state, record.finished, list(record.packages)) == (RunState.OPEN, None, [FOO, BAR])
    states = {arch: job.state for arch, job in record.packages[FOO].jobs.items()}
    assert states == {"amd64": "waiting", "arm64": "waiting", "s390x": "exists"}
    assert record.packages[FOO].jobs["s390x"].image == image("s390x")
    assert due(store) == [FOO]


def test_a_transition_from_an_unexpected_state_changes_and_reports_nothing(
    job: JobHandle, r1: RunHandle
) -> None:
    before = read(job)
    assert move_job(job, JobState.BUILT, expected_states=[JobState.PUSHING]) is None
    assert read(job) == before
    assert events(r1) == []


def test_a_transition_that_the_table_does_not_have_is_a_programming_error(
    job: JobHandle, foo: PackageHandle
) -> None:
    with pytest.raises(ValueError, match="no transition leads from waiting to built"):
        move_job(job, JobState.BUILT, expected_states=[JobState.PUSHING, JobState.WAITING])
    with pytest.raises(ValueError, match="no transition leads from signed to failed"):
        move_package(foo, PackageState.FAILED, expected_states=[PackageState.SIGNED])


def test_a_transition_of_an_unknown_record_changes_nothing(foo: PackageHandle, store: Store) -> None:
    assert move_job(foo.job("riscv64"), JobState.QUEUED) is None
    assert move_package(RunHandle(store, "r9").package(FOO), PackageState.BUILDING) is None


def test_of_many_that_make_the_same_transition_at_once_one_succeeds(foo: PackageHandle) -> None:
    def start(_: int) -> bool:
        return bool(move_package(foo, PackageState.BUILDING, expected_states=[PackageState.WAITING]))

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(start, range(24))) == 1


def test_only_the_holder_of_a_jobs_lease_records_anything(job: JobHandle) -> None:
    drive_job(job, JobState.LEASED, Patch(token="new", worker="w2"))
    built = Patch(image=image("amd64"))
    assert move_job(job, JobState.BUILT, built, expected_token="old") is None
    assert (read(job).state, read(job).worker, read(job).image) == (JobState.LEASED, "w2", None)
    assert move_job(job, JobState.BUILT, built, expected_token="new")
    assert read(job).image == image("amd64")


def test_only_the_holder_of_an_indexs_lease_records_anything(foo: PackageHandle) -> None:
    drive_package(foo, PackageState.PUBLISHING, Patch(token="new"))
    signed = Patch(index=descriptor("index", None))
    assert move_package(foo, PackageState.SIGNED, signed, expected_token="old") is None
    record = move_package(foo, PackageState.SIGNED, signed, expected_token="new")
    assert record is not None
    assert record.index == signed.index


@pytest.mark.parametrize("end", [state for state in JobState if state.ended])
def test_a_job_that_has_ended_stays_as_it_ended(job: JobHandle, end: JobState) -> None:
    drive_job(job, end)
    for state in JobState:
        assert move_job(job, state) is None
    assert read(job).state is end


def test_a_field_stays_until_a_later_transition_replaces_it(store: Store, job: JobHandle) -> None:
    drive_job(job, JobState.LEASED, Patch(worker="w1", token="t", started=12.5))
    moved = move_job(job, JobState.BUILDING)
    assert moved is not None
    assert (moved.worker, moved.token, moved.started) == ("w1", "t", 12.5)
    assert abs(moved.at - store.now()) < 5


def test_a_failure_is_kept_with_its_kind_and_hint(job: JobHandle) -> None:
    error = BuildFailedError('step 3 failed: "é\n"', hint="see the log")
    drive_job(job, JobState.FAILED, Patch(error=error))
    kept = read(job).error
    assert isinstance(kept, BuildFailedError)
    assert (kept.message, kept.hint) == (error.message, error.hint)


def test_every_change_is_reported_once_and_in_order(
    r1: RunHandle, foo: PackageHandle, job: JobHandle
) -> None:
    steps = [JobState.QUEUED, JobState.LEASED, JobState.BUILDING, JobState.BUILT]
    for state in steps:
        move_job(job, state)
    move_package(foo, PackageState.FAILED)
    reported = events(r1)
    assert [name for name, _ in reported] == [f"J {FOO} amd64"] * 4 + [f"P {FOO}"]
    assert [state for state in steps if f'"{state}"' in reported[steps.index(state)][1]] == steps


def test_a_job_waits_in_its_queue_then_under_a_lease_and_then_nowhere(store: Store, job: JobHandle) -> None:
    move_job(job, JobState.QUEUED)
    assert [handle for handle, _ in overdue(store).queued] == [job]
    for state in (JobState.LEASED, JobState.BUILDING, JobState.PUSHING):
        move_job(job, state, Patch(token="t", lease="l"))
        assert overdue(store).queued == ()
        assert [item.handle for item in overdue(store).in_progress] == [job]
    move_job(job, JobState.BUILT)
    assert (overdue(store).queued, overdue(store).in_progress) == ((), ())


def test_a_job_that_waits_for_another_build_of_its_image_is_in_progress(store: Store, job: JobHandle) -> None:
    drive_job(job, JobState.QUEUED, Patch(waiting_for="r0 w", lease="l"))
    (item,) = overdue(store).in_progress
    assert (item.handle, item.record.state) == (job, JobState.QUEUED)
    assert overdue(store).queued == ()
    assert read(job).waiting_for == "r0 w"


def test_a_package_is_due_once_the_last_of_its_jobs_has_ended(store: Store, foo: PackageHandle) -> None:
    handled = store.now()
    move_package(foo, PackageState.BUILDING)
    clear_due(foo, handled=handled + 1)
    drive_job(foo.job("amd64"), JobState.BUILT)
    assert overdue(store).due == ()
    drive_job(foo.job("arm64"), JobState.FAILED)
    assert due(store) == [FOO]


def test_a_package_that_became_due_again_stays_due(store: Store, foo: PackageHandle) -> None:
    handled = store.now()
    let_time_pass(store, "r1", 1.0)
    clear_due(foo, handled=handled - 60)
    assert due(store) == [FOO]
    clear_due(foo, handled=handled)
    assert overdue(store).due == ()


@pytest.mark.parametrize(
    ("first", "second", "run_state"),
    [
        (PackageState.SIGNED, PackageState.PUBLISHED, RunState.DONE),
        (PackageState.SIGNED, PackageState.FAILED, RunState.FAILED),
        (PackageState.CANCELLED, PackageState.SIGNED, RunState.CANCELLED),
        (PackageState.FAILED, PackageState.CANCELLED, RunState.FAILED),
    ],
)
def test_a_run_ends_with_its_last_package(
    r1: RunHandle,
    foo: PackageHandle,
    bar: PackageHandle,
    first: PackageState,
    second: PackageState,
    run_state: RunState,
) -> None:
    drive_package(foo, first)
    assert read_run(r1).state is RunState.OPEN
    drive_package(bar, second)
    ended = read_run(r1)
    assert ended.state is run_state
    assert ended.finished is not None
    assert events(r1)[-1][0] == "R"


def test_dependents_may_start_once_all_their_dependencies_have_succeeded(
    r1: RunHandle, foo: PackageHandle, bar: PackageHandle
) -> None:
    assert dependents(foo) == [bar]
    assert not all_succeeded(r1, [FOO])
    drive_package(foo, PackageState.PUBLISHED)
    assert all_succeeded(r1, [FOO])
    assert not all_succeeded(r1, [FOO, BAR])


def test_the_error_for_an_unknown_run_or_package_says_what_lists_them(store: Store, r1: RunHandle) -> None:
    unknown = r1.package("no/such")
    for look_up in (
        lambda: read_run(RunHandle(store, "r9")),
        lambda: read_work(unknown),
        lambda: read_package(unknown),
    ):
        with pytest.raises(StateError, match="farm status"):
            look_up()


def test_runs_are_listed_newest_first(store: Store) -> None:
    names = [runs.next_run(store) for _ in range(3)]
    assert names == ["r1", "r2", "r3"]
    newer = run_of(work(BAR, "amd64", run="r2"), run="r2")
    runs.create_run(store, type(newer)(newer.id, newer.submitter, newer.created + 1, newer.works))
    assert [(row["run"], row["packages"]) for row in runs.list_runs(store)] == [("r2", 1), ("r1", 2)]
    assert runs.count_open_runs(store) == 2


def test_a_redis_that_is_not_there_is_reported_as_unavailable() -> None:
    store = Store(Secret(f"redis://127.0.0.1:{free_port()}/0"), timeout=1.0)
    with pytest.raises(StateUnavailableError, match="Redis does not answer"):
        store.ping()
    store.close()


def test_a_wrong_password_is_refused_and_not_shown(redis_url: str) -> None:
    wrong = Store(Secret(redis_url.replace(redis_url.split(":")[2].partition("@")[0], "wr0ng")))
    with pytest.raises(StateError, match="refused the login") as caught:
        wrong.ping()
    assert not caught.value.retryable
    assert "wr0ng" not in str(caught.value)
    wrong.close()
