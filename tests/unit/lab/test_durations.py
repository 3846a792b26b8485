"""Where a run's time went is printed by file and by test, and decides which tests start first."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from tests import durations, jobs

if TYPE_CHECKING:
    from pathlib import Path


MEASURED = {
    "tests/fault/test_redis.py::test_slow": {"setup": 40.0, "call": 2.0, "teardown": 0.0},
    "tests/fault/test_chaos.py::test_long[1::2]": {"setup": 0.0, "call": 39.6, "teardown": 0.0},
    "tests/unit/test_quick.py::test_quick": {"setup": 0.0, "call": 0.01, "teardown": 0.0},
}


def test_what_a_run_wrote_reads_back_until_a_run_of_tests_writes_again(tmp_path: Path) -> None:
    durations.write(dict(reversed(MEASURED.items())), tmp_path / "file")
    durations.write({}, tmp_path / "file")
    assert durations.read(tmp_path / "file") == MEASURED
    assert list(durations.read(tmp_path / "file")) == list(MEASURED)


def test_the_slowest_come_first_phase_by_phase() -> None:
    lines = [line.split() for line in durations.table(MEASURED, 2)]
    assert lines[1:] == [
        ["42.0", "40.0", "2.0", "0.0", "tests/fault/test_redis.py::test_slow"],
        ["39.6", "0.0", "39.6", "0.0", "tests/fault/test_chaos.py::test_long[1::2]"],
    ]


def test_long_groups_of_tests_are_recorded_as_jobs_run_them(tmp_path: Path) -> None:
    durations.record(MEASURED, tmp_path / "file")
    assert json.loads((tmp_path / "file").read_text()) == {"tests/fault/": 82}


def test_the_groups_that_take_longest_start_first() -> None:
    recorded = json.loads(jobs.RECORDED.read_text())
    longest = max(recorded, key=lambda group: int(recorded[group]))
    assert jobs.turn(f"{longest}::test") < jobs.turn("tests/unit/test_errors.py::test") == 0


def test_tests_that_share_a_fixture_are_one_group() -> None:
    assert jobs.shared_by("tests/fault/network/test_notary_faults.py::test") == "tests/fault/network/"
    assert jobs.shared_by("tests/compose/test_site.py::test") == "tests/compose/test_site.py"
    assert jobs.shared_by("tests/unit/test_errors.py::test[a]") == "tests/unit/test_errors.py"
