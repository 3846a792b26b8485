"""The reason for which a package or job waits."""

from __future__ import annotations

import pytest

from farm.model import JobState, PackageState, RunState
from farm.planning.wait_reasons import explain
from farm.state.queue_positions import QueuePosition
from farm.state.records import JobRecord, PackageRecord, RunRecord


def run_of(*packages: PackageRecord) -> RunRecord:
    return RunRecord("r1", RunState.OPEN, "me@here", 0.0, None, {one.package: one for one in packages})


def package(name: str, state: PackageState = PackageState.BUILDING, **facts: object) -> PackageRecord:
    jobs = {"s390x": JobRecord("s390x", JobState.QUEUED, at=1.0)}
    return PackageRecord(name, f"{name}:t", state, **({"jobs": jobs} | facts))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (QueuePosition(), "no worker for s390x"),
        (QueuePosition(slots=1), "about to start"),
        (QueuePosition(slots=2, in_progress=1), "about to start"),
        (QueuePosition(slots=1, in_progress=1), "next"),
        (QueuePosition(slots=1, in_progress=1, durations=(60.0, 120.0)), "next (about 2 min)"),
        (QueuePosition(slots=1, ahead=1, in_progress=1), "behind 1 job"),
        (QueuePosition(slots=2, ahead=12, in_progress=2, durations=(90.0,)), "behind 12 jobs (about 10 min)"),
    ],
)
def test_a_queued_job_says_what_is_ahead_of_it(line: QueuePosition, why: str) -> None:
    starts = {("a", "s390x"): 600.0 if line.ahead else 90.0}
    assert explain(run_of(package("a")), {"s390x": line}, starts)["a", "s390x"] == why


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (QueuePosition(), "no worker for s390x"),
        (
            QueuePosition(unserved="no worker accepts s390x: w@h is drained"),
            "no worker accepts s390x: w@h is drained",
        ),
        (QueuePosition(slots=2, ready=("a",), in_progress=1), "about to start"),
        (QueuePosition(slots=1, ready=("b", "c", "a"), sent=2, in_progress=1), "behind 4 jobs"),
        (
            QueuePosition(slots=1, ready=("b", "a"), in_progress=1, durations=(9.0,)),
            "behind 1 job (about 2 min)",
        ),
    ],
)
def test_a_job_that_is_not_sent_yet_is_behind_those_that_are_and_more_urgent_ones(
    line: QueuePosition, why: str
) -> None:
    waiting = package("a", jobs={"s390x": JobRecord("s390x", JobState.WAITING)})
    assert explain(run_of(waiting), {"s390x": line}, {("a", "s390x"): 90.0})["a", "s390x"] == why


def test_a_package_that_waits_for_others_says_when_it_will_probably_start() -> None:
    building = package("base", jobs={})
    waiting = package(
        "top", PackageState.WAITING, jobs={"s390x": JobRecord("s390x", JobState.WAITING)}, needs=("base",)
    )
    waits = explain(run_of(building, waiting), {}, {("top", "s390x"): 240.0})
    assert waits == {("top", ""): "waits for base (about 4 min)"}


def test_the_jobs_of_one_run_queue_behind_one_another() -> None:
    waits = explain(run_of(package("a"), package("b")), {"s390x": QueuePosition(slots=1, in_progress=1)})
    assert waits == {("a", "s390x"): "next", ("b", "s390x"): "behind 1 job"}


def test_a_job_whose_image_another_worker_builds_names_that_worker() -> None:
    jobs = {"s390x": JobRecord("s390x", JobState.QUEUED, waiting_for="r7 big@iron")}
    waits = explain(run_of(package("a", jobs=jobs)), {})
    assert waits["a", "s390x"] == "same build in progress: r7 big@iron"


def test_a_package_names_the_dependencies_for_which_it_waits() -> None:
    published = package("base", PackageState.SIGNED, jobs={})
    building = package("middle", jobs={})
    waiting = package("top", PackageState.WAITING, jobs={}, needs=("base", "middle"))
    assert explain(run_of(published, building, waiting), {}) == {("top", ""): "waits for middle"}


def test_what_does_not_wait_is_left_out() -> None:
    jobs = {"s390x": JobRecord("s390x", JobState.BUILDING)}
    assert explain(run_of(package("a", jobs=jobs)), {}) == {}
