"""A run as a command sees it: read once, then kept current from its events."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from farm.model import JobState, RunState
from farm.state.records import read_job, read_package

if TYPE_CHECKING:
    from farm.state.records import RunRecord

# What each state says on a line of its own; states without an entry are passed by in silence.
_TOLD = {
    JobState.BUILDING: "building",
    JobState.PUSHING: "pushing",
    JobState.BUILT: "built",
    JobState.EXISTS: "stands already",
    JobState.FAILED: "failed",
    JobState.CANCELLED: "cancelled",
}


class RunView:
    """A run's record that changes with its events; events may be applied twice."""

    def __init__(self, record: RunRecord) -> None:
        self._record = record
        self._packages = dict(record.packages)
        self.state = record.state

    def apply(self, name: str, value: str) -> None:
        """Take over one changed record: `R`, `P package` or `J package arch`."""
        kind, _, rest = name.partition(" ")
        if kind == "R":
            self.state = RunState(json.loads(value)["state"])
        elif kind == "P":
            before = self._packages[rest]
            self._packages[rest] = replace(read_package(value, before.jobs), needs=before.needs)
        else:
            package, _, arch = rest.rpartition(" ")
            jobs = self._packages[package].jobs | {arch: read_job(value)}
            self._packages[package] = replace(self._packages[package], jobs=jobs)

    def record(self) -> RunRecord:
        """The run as it stands now."""
        finished = self._record.finished or (time.time() if self.state.ended else None)
        return replace(self._record, state=self.state, packages=dict(self._packages), finished=finished)

    def line(self, name: str) -> str | None:
        """A line that tells a change of the record `name`, None where it is not worth one."""
        kind, _, rest = name.partition(" ")
        if kind == "P":
            package = self._packages[rest]
            seconds = package.at - self._record.created
            return f"{seconds:6.1f}s  {rest}: {package.state}" if package.state != "building" else None
        if kind == "J":
            name, _, arch = rest.rpartition(" ")
            job = self._packages[name].jobs[arch]
            words = _TOLD.get(job.state)
            where = f" on {job.worker}" if job.state is JobState.BUILDING and job.worker else ""
            return f"{job.at - self._record.created:6.1f}s  {name} {arch}: {words}{where}" if words else None
        return None
