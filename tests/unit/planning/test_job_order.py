"""Whose job is next: submitters share, then runs, and in a run the longest way comes first."""

from __future__ import annotations

from collections import Counter

import pytest

from farm.model import RunPriority
from farm.model.open_run import OpenRun
from farm.planning.job_order import choose_runs, most_queued, ranks


def run(
    name: str, submitter: str, ready: int, sent: int = 0, priority: RunPriority = RunPriority.NORMAL
) -> OpenRun:
    return OpenRun(name, submitter, priority, float(name[1:]), {"amd64": sent}, {"amd64": ready})


def test_the_oldest_run_is_first_if_nobody_has_anything_in_progress() -> None:
    assert choose_runs("amd64", 1, [run("r2", "b", 1), run("r1", "a", 1)]) == ["r1"]


def test_a_small_push_is_next_however_much_another_one_has_waiting() -> None:
    runs = [run("r1", "mass", 2000, sent=8), run("r2", "person", 1)]
    assert choose_runs("amd64", 3, runs) == ["r2", "r1", "r1"]


def test_a_mass_rebuild_gets_its_share_beside_any_number_of_small_pushes() -> None:
    runs = [run("r1", "mass", 2000), *(run(f"r{number}", "person", 1) for number in range(2, 50))]
    assert Counter(choose_runs("amd64", 20, runs))["r1"] == 10


def test_submitters_share_evenly_however_many_runs_each_has() -> None:
    runs = [run("r1", "a", 50), run("r2", "b", 50), run("r3", "b", 50)]
    assert Counter(choose_runs("amd64", 8, runs)) == {"r1": 4, "r2": 2, "r3": 2}


def test_a_high_priority_gets_four_times_and_a_low_one_a_quarter() -> None:
    runs = [
        run("r1", "a", 99),
        run("r2", "b", 99, priority=RunPriority.HIGH),
        run("r3", "c", 99, priority=RunPriority.LOW),
    ]
    assert Counter(choose_runs("amd64", 42, runs)) == {"r1": 8, "r2": 32, "r3": 2}


def test_only_what_is_ready_is_chosen() -> None:
    assert choose_runs("amd64", 9, [run("r1", "a", 2), run("r2", "b", 0)]) == ["r1", "r1"]
    assert choose_runs("arm64", 9, [run("r1", "a", 2)]) == []
    assert choose_runs("amd64", -1, [run("r1", "a", 2)]) == []


@pytest.mark.parametrize(
    ("slots", "durations", "most"),
    [(0, [], 2), (1, [], 2), (60, [], 3), (60, [600.0], 2), (4, [0.5], 17), (2, [0.001], 201)],
)
def test_a_queue_has_as_many_messages_as_its_workers_take_before_more_are_sent(
    slots: int, durations: list[float], most: int
) -> None:
    assert most_queued(slots, durations) == most


def test_the_rank_of_a_package_is_the_time_to_the_end_of_all_that_needs_it() -> None:
    needs = {"b": ["a"], "c": ["a"], "d": ["b", "elsewhere"]}
    own = {"a": 1.0, "b": 10.0, "c": 5.0, "d": 2.0}
    assert ranks(needs, own, ["a", "b", "c", "d"]) == {"a": 13.0, "b": 12.0, "c": 5.0, "d": 2.0}
