"""What is shown of a large run: totals, what failed and what goes on; its cost does not grow with the run."""

from __future__ import annotations

import json

import pytest

from farm.cli.live_table import live_table, shown_names, totals
from farm.cli.tables import plain_lines
from farm.errors import BuildFailedError
from farm.model import JobState, PackageState, RunState
from farm.state.following import RunView
from farm.state.records import JobRecord, PackageRecord, RunRecord

COUNT = 2000


def view_of(count: int = COUNT) -> RunView:
    packages = {
        f"p{number}": PackageRecord(
            f"p{number}",
            "ref",
            PackageState.BUILDING if number < count // 2 else PackageState.WAITING,
            at=100.0,
            jobs={arch: JobRecord(arch, JobState.WAITING) for arch in ("amd64", "s390x")},
        )
        for number in range(count)
    }
    return RunView(RunRecord("r1", RunState.OPEN, "me", 100.0, None, packages))


def job(view: RunView, name: str, state: JobState, arch: str = "amd64") -> None:
    error = json.dumps(BuildFailedError("broken").to_json()) if state is JobState.FAILED else ""
    record = {"arch": arch, "state": state, "at": 103.0, "started": 101.0, "error": error}
    view.apply(f"J {name} {arch}", json.dumps(record))


def package(view: RunView, name: str, state: PackageState) -> None:
    view.apply(f"P {name}", json.dumps({"package": name, "reference": "ref", "state": state, "at": 110.0}))


@pytest.fixture
def view() -> RunView:
    """Two thousand packages: 30 are built, one failed, one is published."""
    made = view_of()
    for number in range(500, 530):
        job(made, f"p{number}", JobState.BUILDING)
    job(made, "p900", JobState.FAILED)
    package(made, "p900", PackageState.FAILED)
    for arch in ("amd64", "s390x"):
        job(made, "p7", JobState.BUILT, arch)
    package(made, "p7", PackageState.SIGNED)
    return made


def test_the_totals_count_packages_jobs_and_the_time_that_is_left(view: RunView) -> None:
    assert totals(view, view.live(), 3000.0) == (
        "run r1: open: 1 of 2000 packages done, 1 failed, 30 building, 3967 waiting; about 50 min left"
    )


def test_what_failed_and_what_goes_on_is_shown_first(view: RunView) -> None:
    names = shown_names(view, view.live(), 20)
    assert len(names) == 20
    assert names[0] == "p900"
    assert set(names[1:]) <= {f"p{number}" for number in range(500, 530)}
    lines = plain_lines(live_table(view, 110.0, {}, height=24, left=None))
    assert len(lines) == 21
    assert lines[-1] == "and 1982 more"


def test_what_comes_next_fills_the_rest(view: RunView) -> None:
    names = shown_names(view, view.live(), 40)
    assert names[31:] == [f"p{number}" for number in (0, 1, 2, 3, 4, 5, 6, 8, 9)]


def test_many_failures_leave_room_for_what_goes_on() -> None:
    view = view_of(100)
    for number in range(50):
        package(view, f"p{number}", PackageState.FAILED)
    for number in range(50, 90):
        job(view, f"p{number}", JobState.BUILDING)
    names = shown_names(view, view.live(), 30)
    assert names[:10] == [f"p{number}" for number in range(40, 50)]
    assert len(set(names[10:]) & view.active.keys()) == 20


def test_a_small_run_is_shown_in_its_own_order() -> None:
    view = view_of(6)
    job(view, "p4", JobState.BUILDING)
    assert shown_names(view, view.live(), 10) == [f"p{number}" for number in range(6)]


def test_counts_follow_every_event_and_an_event_twice_changes_nothing(view: RunView) -> None:
    again = view_of()
    for _ in range(2):
        job(again, "p1", JobState.BUILDING)
        job(again, "p1", JobState.PUSHING)
    assert (again.jobs[JobState.PUSHING], again.jobs[JobState.BUILDING]) == (1, 0)
    assert list(again.active) == ["p1"]
    job(again, "p1", JobState.BUILT)
    assert list(again.active) == []
    fresh = RunView(view.record())
    assert (fresh.jobs, fresh.packages) == (+view.jobs, +view.packages)
