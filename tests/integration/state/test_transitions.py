"""Changes of a run: each is made once, by who may, and told in order."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from farm.errors import BuildFailedError, StateError, StateUnavailableError
from farm.model import JobState, PackageState, RunState
from farm.settings import Secret
from farm.state import runs, transitions
from farm.state.overdue import read_overdue
from farm.state.store import Store
from lab.process import free_port
from tests.integration.state.conftest import let_time_pass
from tests.support.values import descriptor, image, run_of, work

if TYPE_CHECKING:
    from farm.state.overdue import Overdue
    from farm.state.records import JobRecord

FOO, BAR = "linuxkit/foo", "linuxkit/bar"


@pytest.fixture(autouse=True)
def run(store: Store) -> None:
    """r1: foo for two architectures and one that stands, bar after it."""
    foo = work(FOO, "amd64", "arm64")
    foo = work(FOO, arches=("amd64", "arm64", "s390x"), jobs=foo.jobs, standing=(image("s390x"),))
    runs.create_run(store, run_of(foo, work(BAR, "amd64", needs=(FOO,))))


def job(store: Store, arch: str = "amd64") -> JobRecord:
    return runs.read_jobs(store, "r1", FOO, [arch])[0]


def overdue(store: Store) -> Overdue:
    """What of r1 waits for somebody."""
    return next(one for one in read_overdue(store, grace=0)[1] if one.run == "r1")


def test_a_new_run_holds_what_stands_and_waits_for_the_rest(store: Store) -> None:
    record = runs.read_run(store, "r1")
    assert (record.state, record.finished, list(record.packages)) == (RunState.OPEN, None, [FOO, BAR])
    states = {arch: job.state for arch, job in record.packages[FOO].jobs.items()}
    assert states == {"amd64": "waiting", "arm64": "waiting", "s390x": "exists"}
    assert record.packages[FOO].jobs["s390x"].image == image("s390x")
    assert [package for package, _ in overdue(store).due] == [FOO]


def test_a_move_from_another_state_than_expected_changes_and_tells_nothing(store: Store) -> None:
    before = job(store)
    assert (
        transitions.move_job(store, "r1", FOO, "amd64", JobState.BUILT, come_from=[JobState.PUSHING]) is None
    )
    assert job(store) == before
    assert next(runs.events(store, "r1")) is None


def test_a_move_of_what_is_not_there_changes_nothing(store: Store) -> None:
    assert transitions.move_job(store, "r1", FOO, "riscv64", JobState.QUEUED) is None
    assert transitions.move_package(store, "r9", FOO, PackageState.BUILDING) is None


def test_of_many_who_make_the_same_move_at_once_one_succeeds(store: Store) -> None:
    def start(_: int) -> bool:
        return bool(
            transitions.move_package(
                store, "r1", FOO, PackageState.BUILDING, come_from=[PackageState.WAITING]
            )
        )

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(start, range(24))) == 1


def test_who_does_not_hold_the_lease_of_a_job_records_nothing(store: Store) -> None:
    transitions.move_job(store, "r1", FOO, "amd64", JobState.LEASED, token="new", worker="w2")
    assert (
        transitions.move_job(store, "r1", FOO, "amd64", JobState.BUILT, holding="old", image=image("amd64"))
        is None
    )
    assert (job(store).state, job(store).worker, job(store).image) == (JobState.LEASED, "w2", None)
    assert transitions.move_job(
        store, "r1", FOO, "amd64", JobState.BUILT, holding="new", image=image("amd64")
    )
    assert job(store).image == image("amd64")


def test_who_does_not_hold_the_lease_of_an_index_records_nothing(store: Store) -> None:
    transitions.move_package(store, "r1", FOO, PackageState.PUBLISHING, token="new")
    index = descriptor("index", None)
    assert transitions.move_package(store, "r1", FOO, PackageState.SIGNED, holding="old", index=index) is None
    signed = transitions.move_package(store, "r1", FOO, PackageState.SIGNED, holding="new", index=index)
    assert signed is not None
    assert signed.index == index


@pytest.mark.parametrize("end", [state for state in JobState if state.ended])
def test_a_job_that_has_ended_stays_as_it_ended(store: Store, end: JobState) -> None:
    transitions.move_job(store, "r1", FOO, "amd64", end)
    for state in JobState:
        assert transitions.move_job(store, "r1", FOO, "amd64", state) is None
    assert job(store).state is end


def test_facts_stay_until_a_later_move_replaces_them(store: Store) -> None:
    transitions.move_job(store, "r1", FOO, "amd64", JobState.LEASED, worker="w1", token="t", started=12.5)
    moved = transitions.move_job(store, "r1", FOO, "amd64", JobState.BUILDING)
    assert moved is not None
    assert (moved.worker, moved.token, moved.started) == ("w1", "t", 12.5)
    assert abs(moved.at - store.now()) < 5


def test_a_failure_is_kept_with_its_kind_and_hint(store: Store) -> None:
    error = BuildFailedError('step 3 failed: "é\n"', hint="see the log")
    transitions.move_job(store, "r1", FOO, "amd64", JobState.FAILED, error=error)
    kept = job(store).error
    assert isinstance(kept, BuildFailedError)
    assert (kept.message, kept.hint) == (error.message, error.hint)


def test_every_change_is_told_once_and_in_order(store: Store) -> None:
    steps = [JobState.QUEUED, JobState.LEASED, JobState.BUILDING, JobState.BUILT]
    for state in steps:
        transitions.move_job(store, "r1", FOO, "amd64", state)
    transitions.move_package(store, "r1", FOO, PackageState.FAILED)
    told: list[tuple[str, str]] = []
    for event in runs.events(store, "r1"):
        if event is None:
            break
        told.append(event)
    assert [name for name, _ in told] == [f"J {FOO} amd64"] * 4 + [f"P {FOO}"]
    assert [state for state in steps if f'"{state}"' in told[steps.index(state)][1]] == steps


def test_a_job_waits_in_its_queue_then_in_a_hand_and_then_nowhere(store: Store) -> None:
    transitions.move_job(store, "r1", FOO, "amd64", JobState.QUEUED)
    assert [(package, arch) for package, arch, _ in overdue(store).queued] == [(FOO, "amd64")]
    for state in (JobState.LEASED, JobState.BUILDING, JobState.PUSHING):
        transitions.move_job(store, "r1", FOO, "amd64", state, token="t", lease="l")
        assert overdue(store).queued == ()
        assert [(item.package, item.arch) for item in overdue(store).hand] == [(FOO, "amd64")]
    transitions.move_job(store, "r1", FOO, "amd64", JobState.BUILT)
    assert (overdue(store).queued, overdue(store).hand) == ((), ())


def test_a_job_that_waits_for_another_to_make_its_image_is_in_that_ones_hand(store: Store) -> None:
    transitions.move_job(store, "r1", FOO, "amd64", JobState.QUEUED, behind="r0 w", lease="l")
    (item,) = overdue(store).hand
    assert (item.package, item.arch, item.record.state) == (FOO, "amd64", JobState.QUEUED)
    assert overdue(store).queued == ()
    assert job(store).behind == "r0 w"


def test_a_package_is_due_once_the_last_of_its_builds_has_ended(store: Store) -> None:
    seen = store.now()
    transitions.move_package(store, "r1", FOO, PackageState.BUILDING)
    transitions.clear_due(store, "r1", FOO, seen=seen + 1)
    transitions.move_job(store, "r1", FOO, "amd64", JobState.BUILT)
    assert overdue(store).due == ()
    transitions.move_job(store, "r1", FOO, "arm64", JobState.FAILED)
    assert [package for package, _ in overdue(store).due] == [FOO]


def test_what_became_due_again_meanwhile_stays_due(store: Store) -> None:
    seen = store.now()
    let_time_pass(store, "r1", 1.0)
    transitions.clear_due(store, "r1", FOO, seen=seen - 60)
    assert [package for package, _ in overdue(store).due] == [FOO]
    transitions.clear_due(store, "r1", FOO, seen=seen)
    assert overdue(store).due == ()


@pytest.mark.parametrize(
    ("foo", "bar", "run_state"),
    [
        (PackageState.SIGNED, PackageState.PUBLISHED, RunState.DONE),
        (PackageState.SIGNED, PackageState.FAILED, RunState.FAILED),
        (PackageState.CANCELLED, PackageState.SIGNED, RunState.CANCELLED),
        (PackageState.FAILED, PackageState.CANCELLED, RunState.FAILED),
    ],
)
def test_a_run_ends_with_its_last_package(
    store: Store, foo: PackageState, bar: PackageState, run_state: RunState
) -> None:
    transitions.move_package(store, "r1", FOO, foo)
    assert runs.read_run(store, "r1").state is RunState.OPEN
    transitions.move_package(store, "r1", BAR, bar)
    ended = runs.read_run(store, "r1")
    assert ended.state is run_state
    assert ended.finished is not None
    *_, last = (event for event in iter_told(store))
    assert last[0] == "R"


def iter_told(store: Store) -> list[tuple[str, str]]:
    """All events so far."""
    told: list[tuple[str, str]] = []
    for event in runs.events(store, "r1"):
        if event is None:
            return told
        told.append(event)
    return told


def test_dependents_stand_once_all_that_they_need_does(store: Store) -> None:
    assert runs.dependents(store, "r1", FOO) == [BAR]
    assert not runs.stand(store, "r1", [FOO])
    transitions.move_package(store, "r1", FOO, PackageState.PUBLISHED)
    assert runs.stand(store, "r1", [FOO])
    assert not runs.stand(store, "r1", [FOO, BAR])


def test_what_is_not_there_is_told_with_where_to_look(store: Store) -> None:
    for read in (
        lambda: runs.read_run(store, "r9"),
        lambda: runs.read_work(store, "r1", "no/such"),
        lambda: runs.read_package_record(store, "r1", "no/such"),
    ):
        with pytest.raises(StateError, match="farm status"):
            read()


def test_runs_are_listed_newest_first(store: Store) -> None:
    names = [runs.next_run(store) for _ in range(3)]
    assert names == ["r1", "r2", "r3"]
    newer = run_of(work(BAR, "amd64", run="r2"), run="r2")
    runs.create_run(store, type(newer)(newer.id, newer.submitter, newer.created + 1, newer.works))
    assert [(row["run"], row["packages"]) for row in runs.list_runs(store)] == [("r2", 1), ("r1", 2)]
    assert runs.open_runs(store) == 2


def test_a_redis_that_is_not_there_is_told_as_away() -> None:
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
