"""Transitions, and what is read of runs; test_state_machine.py holds what every transition must keep."""

from __future__ import annotations

import itertools
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from farm.errors import BuildFailedError, RunDamagedError, StateDeniedError, StateError
from farm.model import JobState, PackageState, RunState
from farm.scheduling.cancel import cancel
from farm.settings import Secret
from farm.state import runs
from farm.state.following import RunView, follow, run_events
from farm.state.logs import follow_log
from farm.state.overdue import read_overdue
from farm.state.records import JobPatch, PackagePatch
from farm.state.redis_checks import check_redis
from farm.state.run_handles import RunHandle
from farm.state.run_list import count_open_runs, list_runs
from farm.state.run_names import find_run, new_name
from farm.state.runs import dependents, read_package, read_run, read_work, succeeded
from farm.state.store import Store
from farm.state.transitions import move_job, move_package
from tests.integration.state.steps import drive
from tests.support.values import image, ordered, run_of, work

if TYPE_CHECKING:
    from farm.state.overdue import OverdueRun
    from tests.integration.state.conftest import Farm

FOO, BAR = "linuxkit/foo", "linuxkit/bar"


@pytest.fixture(autouse=True)
def run(farm: Farm) -> None:
    """r1: foo for two architectures and one that exists, bar after it."""
    jobs = work(FOO, "amd64", "arm64").jobs
    foo = work(FOO, arches=("amd64", "arm64", "s390x"), jobs=jobs, existing=(image("s390x"),))
    runs.create_run(farm.store, ordered(run_of(foo, work(BAR, "amd64", needs=(FOO,)))))


def overdue(farm: Farm) -> OverdueRun:
    """What waits in r1."""
    return next(one for one in read_overdue(farm.store, grace=0)[1] if one.handle.id == "r1")


def test_a_new_run_has_the_images_that_exist_and_waits_for_the_rest(farm: Farm) -> None:
    record = read_run(farm.r1)
    assert (record.state, record.finished, list(record.packages)) == (RunState.OPEN, None, [FOO, BAR])
    states = {arch: job.state for arch, job in record.packages[FOO].jobs.items()}
    assert states == {"amd64": "waiting", "arm64": "waiting", "s390x": "exists"}
    assert record.packages[FOO].jobs["s390x"].image == image("s390x")
    assert [package.name for package, _ in overdue(farm).due] == [FOO]


def test_a_transition_of_an_unknown_record_changes_nothing(farm: Farm) -> None:
    assert move_job(farm.foo.job("riscv64"), JobState.QUEUED) is None
    assert move_package(RunHandle(farm.store, "r9").package(FOO), PackageState.BUILDING) is None


def test_of_many_that_make_the_same_transition_at_once_one_succeeds(farm: Farm) -> None:
    def start(_: int) -> bool:
        return bool(move_package(farm.foo, PackageState.BUILDING, expected_states=[PackageState.WAITING]))

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(start, range(24))) == 1


def test_every_change_is_reported_once_and_in_order(farm: Farm) -> None:
    steps = [JobState.QUEUED, JobState.LEASED, JobState.BUILDING, JobState.BUILT]
    for state in steps:
        move_job(farm.job, state)
    move_package(farm.foo, PackageState.FAILED)
    reported = [event for event in itertools.takewhile(bool, run_events(farm.r1)) if event]
    assert [name for name, _ in reported] == [f"J {FOO} amd64"] * 4 + [f"P {FOO}"]
    assert [state for state in steps if f'"{state}"' in reported[steps.index(state)][1]] == steps


@pytest.mark.parametrize("forgotten", [False, True])
def test_a_run_that_ended_before_it_is_followed_is_shown_as_it_ended(farm: Farm, forgotten: bool) -> None:
    for package in (farm.foo, farm.bar):
        drive(package, PackageState.FAILED, PackagePatch(error=BuildFailedError("no such image")))
    if forgotten:
        farm.store.ask([("delete", farm.r1.key("events"))])
    view = RunView(read_run(farm.r1))
    assert view.state.ended
    changed = list(follow(farm.r1, view))
    assert (
        replace(view.record(), finished=1.0).to_json() == replace(read_run(farm.r1), finished=1.0).to_json()
    )
    assert changed == [""] if forgotten else changed[-1] == "R"


def test_a_job_waits_in_its_queue_then_under_a_lease_and_then_nowhere(farm: Farm) -> None:
    move_job(farm.job, JobState.QUEUED)
    assert [handle for handle, _ in overdue(farm).queued] == [farm.job]
    for state in (JobState.LEASED, JobState.BUILDING, JobState.PUSHING):
        move_job(farm.job, state, JobPatch(token="t", lease="l"))
        assert overdue(farm).queued == ()
        assert [item.handle for item in overdue(farm).in_progress] == [farm.job]
    move_job(farm.job, JobState.BUILT)
    assert (overdue(farm).queued, overdue(farm).in_progress) == ((), ())


def test_dependents_may_start_once_all_their_dependencies_have_succeeded(farm: Farm) -> None:
    assert dependents(farm.foo) == [farm.bar]
    assert succeeded(farm.r1, [FOO]) == set()
    drive(farm.foo, PackageState.PUBLISHED)
    assert succeeded(farm.r1, [FOO]) == {FOO}
    assert succeeded(farm.r1, [FOO, BAR]) == {FOO}


def test_the_error_for_an_unknown_run_or_package_says_what_lists_them(farm: Farm) -> None:
    unknown = farm.r1.package("no/such")
    for look_up in (
        lambda: read_run(RunHandle(farm.store, "r9")),
        lambda: read_work(unknown),
        lambda: read_package(unknown),
    ):
        with pytest.raises(StateError, match="farm status"):
            look_up()


def test_runs_are_listed_newest_first(farm: Farm) -> None:
    newer = run_of(work(BAR, "amd64", run="r2"), run="r2")
    runs.create_run(
        farm.store, ordered(type(newer)(newer.id, newer.submitter, newer.created + 1, newer.works))
    )
    assert [(row["run"], row["packages"]) for row in list_runs(farm.store)] == [("r2", 1), ("r1", 2)]


def test_an_open_run_is_listed_and_keeps_a_private_farm_up_however_many_runs_are_newer(farm: Farm) -> None:
    for number in range(2, 105):
        run = run_of(work(BAR, "amd64", run=f"r{number}"), run=f"r{number}")
        handle = runs.create_run(farm.store, ordered(replace(run, created=run.created + number)))
        farm.store.ask([("hset", handle.key("meta"), "state", "done")])
    assert [row["run"] for row in list_runs(farm.store, 2)] == ["r104", "r103", "r1"]
    assert count_open_runs(farm.store) == 1


def test_a_number_that_redis_gives_out_twice_makes_another_run(farm: Farm) -> None:
    """Redis lost its last second, or failed over, and with it the number that it had given out."""
    names = []
    for _ in range(2):
        farm.store.text.set("farm:run-number", 41)
        names.append(new_name(farm.store))
    first, second = names
    assert [name.partition("-")[0] for name in names] == ["r42", "r42"]
    assert first != second
    runs.create_run(farm.store, ordered(run_of(work(BAR, "amd64", run=second), run=second)))
    for name in (first, "r42", "42"):
        with pytest.raises(StateError, match=rf"there is no run {name} \(did you mean {second}\?\)"):
            find_run(farm.store, name)
    with pytest.raises(StateError, match=rf"lost its data, and {first} with it"):
        list(follow(RunHandle(farm.store, first), RunView(read_run(farm.r1))))
    with pytest.raises(StateError, match=rf"lost its data, and {first} with it"):
        list(follow_log(RunHandle(farm.store, first).package(BAR).job("amd64")))


def test_a_run_never_replaces_another_one(farm: Farm) -> None:
    before = read_run(farm.r1)
    with pytest.raises(StateError, match="there is a run r1 already; nothing was changed"):
        runs.create_run(farm.store, ordered(run_of(work("linuxkit/other", "amd64"))))
    assert read_run(farm.r1) == before


def test_a_run_of_which_redis_lost_a_part_is_named_and_can_be_closed(farm: Farm) -> None:
    farm.store.ask([("hdel", farm.r1.key("records"), farm.job.field)])
    with pytest.raises(RunDamagedError, match=f"lost a part of run r1: J {FOO} amd64.*farm cancel r1"):
        read_run(farm.r1)
    farm.reconcile()
    done = cancel(farm.r1, by="me@here")
    assert (done.packages, str(done.damaged)[:27]) == ((), "Redis lost a part of run r1")
    assert [row["state"] for row in list_runs(farm.store)] == ["cancelled"]
    assert move_job(farm.foo.job("arm64"), JobState.LEASED) is None
    farm.reconcile()
    assert read_overdue(farm.store, grace=0)[1] == []


def test_a_transition_of_a_run_that_is_gone_makes_no_part_of_it_again(farm: Farm) -> None:
    farm.store.ask([("delete", farm.r1.key("meta"))])
    assert move_package(farm.foo, PackageState.FAILED) is None
    assert not farm.store.text.exists(farm.r1.key("meta"))
    assert list_runs(farm.store) == []


def test_a_user_who_may_not_ask_redis_for_its_policy_is_warned(farm: Farm, redis_url: str) -> None:
    """Many a managed Redis refuses CONFIG, and some refuse INFO."""
    assert check_redis(farm.store).version
    commands = ["+@all", "-info", "-config"]
    farm.store.text.acl_setuser("limited", enabled=True, passwords=["+pw"], keys=["*"], commands=commands)
    host = redis_url.rpartition("@")[2]
    limited = Store(Secret(f"redis://limited:pw@{host}"))
    (warning,) = check_redis(limited).warnings
    limited.close()
    farm.store.text.acl_deluser("limited")
    assert "refuses INFO" in warning


def test_a_wrong_password_is_refused_and_not_shown(redis_url: str) -> None:
    wrong = Store(Secret(redis_url.replace(redis_url.split(":")[2].partition("@")[0], "wr0ng")))
    with pytest.raises(StateDeniedError, match="refused the login") as caught:
        wrong.ping()
    assert (caught.value.exit_code, caught.value.retryable) == (4, False)
    assert "wr0ng" not in str(caught.value)
    wrong.close()


def test_under_one_key_only_one_run_is_submitted_whoever_else_tries_at_the_same_time(farm: Farm) -> None:
    wanted = [ordered(replace(run_of(work(FOO, "amd64")), id=f"r{number}")) for number in range(2, 10)]
    with ThreadPoolExecutor(len(wanted)) as pool:
        made = list(pool.map(lambda one: runs.create_run(farm.store, one, once="commit 1"), wanted))
    assert len({one.id for one in made}) == 1
    assert [row["run"] for row in list_runs(farm.store)] == [made[0].id, "r1"]
    other = runs.create_run(farm.store, wanted[0 if made[0].id != "r2" else 1], once="commit 2")
    assert other.id != made[0].id


def test_the_key_of_a_run_that_has_expired_is_free_again(farm: Farm) -> None:
    first = runs.create_run(farm.store, ordered(replace(run_of(work(FOO, "amd64")), id="r2")), once="key")
    farm.store.text.delete(first.key("meta"))
    again = runs.create_run(farm.store, ordered(replace(run_of(work(FOO, "amd64")), id="r3")), once="key")
    assert again.id == "r3"
