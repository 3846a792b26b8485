"""Follow a run: read it once, then apply its events. Only reads."""

from __future__ import annotations

import json
import time
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

from farm.errors import StateError, StateUnavailableError
from farm.model import JobState, PackageState, RunState
from farm.state.records import arch_of, package_of, parse_job, parse_package
from farm.state.run_names import is_known
from farm.state.store import follow_stream

if TYPE_CHECKING:
    from collections.abc import Iterator

    from farm.state.records import PackageRecord, RunRecord
    from farm.state.run_handles import RunHandle

_MAX_OUTAGE = 900.0
"""Seconds to wait for an unreachable Redis, as workers do with work in progress."""
_PAUSE = 1.0
"""Seconds between two attempts meanwhile."""


class RunView:
    """A run that its events keep current, each at a cost that does not grow with the run.

    An event may be applied twice.
    """

    def __init__(self, record: RunRecord) -> None:
        self._record = record
        self._packages = dict(record.packages)
        self.state = record.state
        self.packages: Counter[PackageState] = Counter()
        """How many packages are in each state."""
        self.jobs: Counter[JobState] = Counter()
        """How many jobs are in each state."""
        self.active: dict[str, None] = {}
        """The packages that somebody works on, the latest last."""
        self.failed: dict[str, None] = {}
        """The packages that failed, or of which a job did, the latest last."""
        for package in self._packages.values():
            self._count(package, 1)

    def apply(self, field: str, value: str) -> None:
        """Apply an event: the field of the changed record, or `R` for the run, and its new JSON."""
        if field == "R":
            self.state = RunState(json.loads(value)["state"])
            return
        package = self._packages[package_of(field)]
        if field.startswith("P "):
            changed = replace(parse_package(value, package.jobs), needs=package.needs)
        else:
            changed = replace(package, jobs=package.jobs | {arch_of(field): parse_job(value)})
        self._count(package, -1)
        self._packages[package.package] = changed
        self._count(changed, 1)

    def _count(self, package: PackageRecord, sign: int) -> None:
        states = [job.state for job in package.jobs.values()]
        self.packages[package.state] += sign
        for state in states:
            self.jobs[state] += sign
        if sign < 0:
            return
        failed = package.state is PackageState.FAILED or JobState.FAILED in states
        active = package.state.in_progress or any(state.in_progress for state in states)
        for names, belongs in ((self.failed, failed), (self.active, active)):
            if belongs:
                names.setdefault(package.package)
            else:
                names.pop(package.package, None)

    def live(self) -> RunRecord:
        """The run as of the last event; it changes with the next one."""
        finished = self._record.finished or (time.time() if self.state.ended else None)
        return replace(self._record, state=self.state, packages=self._packages, finished=finished)

    def record(self) -> RunRecord:
        """The same, for good."""
        return replace(self.live(), packages=dict(self._packages))


def follow(run: RunHandle, view: RunView) -> Iterator[str]:
    """Apply each event to the view until the run ends; waits for a Redis that is away.

    Yields the field of each record that changed, and "" after each second without an event.
    """
    away_since: float | None = None
    while True:
        try:
            # From the first event again, after an outage too: to apply one twice changes nothing.
            for event in run_events(run):
                away_since = None
                if event:
                    view.apply(*event)
                elif not is_known(run):
                    raise run_is_gone(run)
                yield event[0] if event else ""
                # The first events of a run that has ended already show earlier states of its packages.
                if view.state.ended and (not event or event[0] == "R"):
                    return
        except StateUnavailableError:
            away_since = away_since or time.monotonic()
            if time.monotonic() - away_since > _MAX_OUTAGE:
                raise
            time.sleep(_PAUSE)


def run_is_gone(run: RunHandle) -> StateError:
    """The error of whoever follows a run that is no longer stored."""
    return StateError(
        f"Redis lost its data, and {run} with it",
        hint="farm push again: it continues from what the registry has",
    )


def run_events(run: RunHandle) -> Iterator[tuple[str, str] | None]:
    """Each event of a run from its start: (field of the record, JSON); None after each second without one."""
    for fields in follow_stream(run.store, run.key("events")):
        yield (fields["record"], fields["value"]) if fields else None
