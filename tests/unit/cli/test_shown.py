"""The display of a run: the view that follows its events, the lines, the table."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from rich.console import Console

from farm.cli.follow import change_line, exit_code
from farm.cli.tables import plain_lines, rich_table, run_table
from farm.errors import BuildFailedError, FarmError, RegistryUnavailableError
from farm.model import JobState, PackageState, RunState
from farm.state.following import RunView
from farm.state.records import JobRecord, PackageRecord, RunRecord

if TYPE_CHECKING:
    from farm.planning.wait_reasons import Waits

FOO, BAR = "linuxkit/foo", "linuxkit/bar"
BROKEN = BuildFailedError("linuxkit/foo arm64: step 3 failed")


def run(
    *packages: PackageRecord, state: RunState = RunState.OPEN, finished: float | None = None
) -> RunRecord:
    return RunRecord("r1", state, "me", 100.0, finished, {package.package: package for package in packages})


def package(
    name: str = FOO,
    state: PackageState = PackageState.BUILDING,
    *jobs: JobRecord,
    at: float = 100.0,
    error: FarmError | None = None,
) -> PackageRecord:
    return PackageRecord(name, "ref", state, at=at, error=error, jobs={job.arch: job for job in jobs})


def job(arch: str, state: JobState, **more: float | str) -> str:
    """The record of a job in an event."""
    return json.dumps({"arch": arch, "state": state, "at": 103.0, **more})


@pytest.fixture
def view() -> RunView:
    waiting = [JobRecord(arch, JobState.QUEUED) for arch in ("amd64", "s390x")]
    return RunView(run(package(FOO, PackageState.BUILDING, *waiting), package(BAR, PackageState.WAITING)))


def test_an_event_changes_one_job_and_nothing_else_and_only_once(view: RunView) -> None:
    before = view.record()
    event = (f"J {FOO} s390x", job("s390x", JobState.BUILDING, worker="w"))
    view.apply(*event)
    after = view.record()
    view.apply(*event)
    assert view.record() == after
    assert after.packages[FOO].jobs["s390x"].state is JobState.BUILDING
    assert after.packages[FOO].jobs["amd64"] == before.packages[FOO].jobs["amd64"]
    assert after.packages[BAR] == before.packages[BAR]
    assert before.packages[FOO].jobs["s390x"].state is JobState.QUEUED


def test_an_event_of_a_package_keeps_its_jobs(view: RunView) -> None:
    stored = {"package": FOO, "reference": "ref", "state": "publishing", "at": 104.0}
    view.apply(f"P {FOO}", json.dumps(stored))
    assert view.record().packages[FOO].state is PackageState.PUBLISHING
    assert list(view.record().packages[FOO].jobs) == ["amd64", "s390x"]


def test_the_last_event_ends_the_run_and_sets_its_time(view: RunView) -> None:
    assert view.record().finished is None
    view.apply("R", '{"state": "failed"}')
    assert view.state.ended
    assert view.record().state is RunState.FAILED
    assert view.record().finished is not None


@pytest.mark.parametrize(
    ("state", "words"),
    [
        (JobState.BUILDING, "building on w9"),
        (JobState.PUSHING, "pushing"),
        (JobState.BUILT, "built"),
        (JobState.EXISTS, "already exists"),
        (JobState.FAILED, "failed"),
        (JobState.QUEUED, None),
        (JobState.LEASED, None),
    ],
)
def test_a_line_reports_the_progress_of_a_job(view: RunView, state: JobState, words: str | None) -> None:
    view.apply(f"J {FOO} s390x", job("s390x", state, worker="w9"))
    assert change_line(view.record(), f"J {FOO} s390x") == (words and f"   3.0s  {FOO} s390x: {words}")


def test_a_line_reports_how_a_package_ended(view: RunView) -> None:
    view.apply(f"P {FOO}", json.dumps({"package": FOO, "reference": "r", "state": "signed", "at": 112.5}))
    assert change_line(view.record(), f"P {FOO}") == f"  12.5s  {FOO}: signed"
    assert change_line(view.record(), "R") is None


def shown(record: RunRecord, now: float = 110.0, waits: Waits | None = None) -> list[list[str]]:
    """The words of each line of the table, which are the same with rich and without."""
    table = run_table(record, now, waits or {})
    console = Console(width=120)
    with console.capture() as capture:
        console.print(rich_table(table))
    plain = [line.split() for line in plain_lines(table)]
    assert plain == [line.split() for line in capture.get().splitlines()]
    return plain


def test_the_table_has_a_row_for_each_package_and_a_cell_for_each_architecture() -> None:
    foo = package(
        FOO,
        PackageState.BUILDING,
        JobRecord("s390x", JobState.BUILDING, started=103.0),
        JobRecord("amd64", JobState.EXISTS),
    )
    bar = package(BAR, PackageState.SIGNED, JobRecord("amd64", JobState.BUILT), at=104.0)
    assert shown(run(foo, bar)) == [
        ["run", "r1:", "open"],
        ["package", "amd64", "s390x", "index", "time"],
        [FOO, "exists", "building", "7s", "building", "10.0s"],
        [BAR, "built", "-", "signed", "4.0s"],
    ]


def test_a_cell_that_waits_says_why() -> None:
    record = run(package(FOO, PackageState.BUILDING, JobRecord("s390x", JobState.QUEUED)))
    assert "no worker for s390x" in " ".join(shown(record, waits={(FOO, "s390x"): "no worker for s390x"})[2])


def test_times_of_an_ended_run_do_not_change_and_a_slow_clock_shows_no_negative_time() -> None:
    record = run(package(FOO, PackageState.CANCELLED, at=105.0), state=RunState.CANCELLED, finished=105.0)
    assert shown(record, now=5000.0) == shown(record, now=110.0)
    assert shown(run(package()), now=90.0)[2][-1] == "0.0s"


AWAY = package(BAR, PackageState.FAILED, error=RegistryUnavailableError("away"))
FAILED = package(FOO, PackageState.FAILED, error=BROKEN)


@pytest.mark.parametrize(
    ("packages", "state", "code"),
    [
        ([package()], RunState.OPEN, 0),
        ([package()], RunState.DONE, 0),
        ([AWAY, FAILED], RunState.FAILED, 3),
        ([FAILED, AWAY], RunState.FAILED, 1),
        ([package(state=PackageState.CANCELLED)], RunState.CANCELLED, 1),
    ],
)
def test_a_run_that_failed_exits_with_its_first_error(
    packages: list[PackageRecord], state: RunState, code: int
) -> None:
    assert exit_code(run(*packages, state=state)) == code
