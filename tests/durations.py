"""How long each test took, phase by phase, and where the time of a run went: `python -m tests.durations`.

Every run of pytest writes `FILE`. From it, `--record` writes `RECORDED`, by which `tests.jobs` lets the
longest groups start first.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import dataclass, field
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


@dataclass
class Durations:
    """The seconds of each phase of each test, or of each group of tests."""

    seconds: dict[str, dict[str, float]] = field(default_factory=dict)

    def add(self, name: str, phase: str, seconds: float) -> None:
        """Add a phase of a test."""
        phases = self.seconds.setdefault(name, dict.fromkeys(PHASES, 0.0))
        phases[phase] += seconds

    def grouped(self, by: Callable[[str], str]) -> Durations:
        """The sums over the tests for which `by` returns the same."""
        sums = Durations()
        for name, phases in self.seconds.items():
            for phase, seconds in phases.items():
                sums.add(by(name), phase, seconds)
        return sums

    def total(self, name: str) -> float:
        """The seconds of a test or group in all phases."""
        return sum(self.seconds[name].values())

    def slowest(self) -> list[str]:
        """All names, the slowest first."""
        return sorted(self.seconds, key=self.total, reverse=True)

    def table(self, top: int) -> Iterable[str]:
        """The slowest as lines of text."""
        yield " ".join(f"{column:>8}" for column in ("total", *PHASES))
        for name in self.slowest()[:top]:
            columns = (self.total(name), *self.seconds[name].values())
            yield " ".join([*(f"{seconds:8.1f}" for seconds in columns), name])


def write(durations: Durations, path: Path = FILE) -> None:
    """Write the durations of a run, the slowest test first; of a run without tests, nothing."""
    lines = [
        f"{seconds:.3f}\t{phase}\t{name}\n"
        for name in durations.slowest()
        for phase, seconds in durations.seconds[name].items()
    ]
    if lines:
        path.parent.mkdir(exist_ok=True)
        path.write_text("".join(lines))


def read(path: Path = FILE) -> Durations:
    """Read what a run wrote."""
    durations = Durations()
    for line in path.read_text().splitlines():
        seconds, phase, name = line.split("\t", 2)
        durations.add(name, phase, float(seconds))
    return durations


def record(durations: Durations, path: Path = RECORDED) -> None:
    """Write the seconds of each group of tests that one job runs as a whole."""
    groups = durations.grouped(shared_by)
    totals = {name: round(groups.total(name)) for name in groups.slowest()}
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
    files = tests.grouped(lambda test: test.partition("::")[0])
    for title, part in (("files", files), ("tests", tests)):
        print(f"The slowest {title}, in seconds:", *part.table(options.top), "", sep="\n")
    print(f"{sum(map(tests.total, tests.seconds)):.0f} s in {len(tests.seconds)} tests")
    if options.record:
        record(tests)
    return 0


if __name__ == "__main__":
    sys.exit(main())
