"""How long each test took, phase by phase, and where the time of a run went: `python -m tests.durations`.

Every run of pytest writes `FILE`. From it, `--record` writes `RECORDED`, by which `tests.jobs` lets the
longest groups start first.
"""

from __future__ import annotations

import argparse
import json
import sys
from typing import TYPE_CHECKING

from lab.machine import STATE
from tests.jobs import RECORDED, shared_by

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

FILE = STATE / "durations.tsv"
"""A line for each phase of each test: seconds, phase, node id."""
PHASES = ("setup", "call", "teardown")
_SHORTEST_RECORDED = 5
"""Seconds; shorter groups of tests may start in any order."""


Durations = dict[str, dict[str, float]]
"""The seconds of each phase of each test, or of each group of tests."""


def add(durations: Durations, name: str, phase: str, seconds: float) -> None:
    """Add a phase of a test."""
    durations.setdefault(name, dict.fromkeys(PHASES, 0.0))[phase] += seconds


def grouped(durations: Durations, by: Callable[[str], str]) -> Durations:
    """The sums over the tests for which `by` returns the same, the slowest first."""
    sums: Durations = {}
    for name, phases in durations.items():
        for phase, seconds in phases.items():
            add(sums, by(name), phase, seconds)
    return dict(sorted(sums.items(), key=lambda group: -sum(group[1].values())))


def table(durations: Durations, top: int) -> Iterable[str]:
    """The first as lines of text."""
    yield " ".join(f"{column:>8}" for column in ("total", *PHASES))
    for name, phases in list(durations.items())[:top]:
        columns = (sum(phases.values()), *phases.values())
        yield " ".join([*(f"{seconds:8.1f}" for seconds in columns), name])


def write(durations: Durations, path: Path = FILE) -> None:
    """Write the durations of a run, the slowest test first; of a run without tests, nothing."""
    lines = [
        f"{seconds:.3f}\t{phase}\t{name}\n"
        for name, phases in grouped(durations, str).items()
        for phase, seconds in phases.items()
    ]
    if lines:
        path.parent.mkdir(exist_ok=True)
        path.write_text("".join(lines))


def read(path: Path = FILE) -> Durations:
    """Read what a run wrote."""
    durations: Durations = {}
    for line in path.read_text().splitlines():
        seconds, phase, name = line.split("\t", 2)
        add(durations, name, phase, float(seconds))
    return durations


def record(durations: Durations, path: Path = RECORDED) -> None:
    """Write the seconds of each group of tests that one job runs as a whole."""
    totals = {name: round(sum(one.values())) for name, one in grouped(durations, shared_by).items()}
    kept = {name: seconds for name, seconds in totals.items() if seconds >= _SHORTEST_RECORDED}
    path.write_text(json.dumps(kept, indent=1) + "\n")


def main() -> int:
    """Print the slowest files and tests of the last run; returns the exit code."""
    about = "Where the time of the last run of tests went."
    parser = argparse.ArgumentParser(prog="python -m tests.durations", description=about)
    parser.add_argument("--top", type=int, default=30, help="how many files and tests (default: 30)")
    about = f"write {RECORDED.name}; the last run should be one of all tests"
    parser.add_argument("--record", action="store_true", help=about)
    options = parser.parse_args()
    try:
        tests = read()
    except FileNotFoundError:
        print(f"{FILE} does not exist: run the tests first", file=sys.stderr)
        return 2
    files = grouped(tests, lambda test: test.partition("::")[0])
    for title, part in (("files", files), ("tests", tests)):
        print(f"The slowest {title}, in seconds:", *table(part, options.top), "", sep="\n")
    print(f"{sum(sum(phases.values()) for phases in tests.values()):.0f} s in {len(tests)} tests")
    if options.record:
        record(tests)
    return 0


if __name__ == "__main__":
    sys.exit(main())
