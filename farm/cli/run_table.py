"""A run as a table: one row for each package, one column for each architecture."""

from __future__ import annotations

from typing import TYPE_CHECKING

from farm.cli.table import Cell, Table
from farm.model import ARCHES, JobState, PackageState

if TYPE_CHECKING:
    from farm.planning.wait_reasons import Waits
    from farm.state.records import JobRecord, PackageRecord, RunRecord

_JOB_STYLES = {
    JobState.BUILT: "green",
    JobState.EXISTS: "dim green",
    JobState.FAILED: "bold red",
    JobState.CANCELLED: "yellow",
    JobState.BUILDING: "cyan",
    JobState.PUSHING: "cyan",
    JobState.LEASED: "cyan",
}
_PACKAGE_STYLES = {
    PackageState.SIGNED: "green",
    PackageState.PUBLISHED: "green",
    PackageState.PUSHED: "green",
    PackageState.PUBLISHING: "cyan",
    PackageState.FAILED: "bold red",
    PackageState.CANCELLED: "yellow",
}
_IN_PROGRESS = (JobState.LEASED, JobState.BUILDING, JobState.PUSHING)


def run_table(record: RunRecord, now: float, waits: Waits) -> Table:
    """The table of a run at a moment, Unix seconds; `waits` says why something waits."""
    known = {arch for package in record.packages.values() for arch in package.jobs}
    arches = [arch for arch in ARCHES if arch in known]
    rows = []
    for name, package in record.packages.items():
        jobs = (_job_cell(package.jobs.get(arch), now, waits.get((name, arch))) for arch in arches)
        index = _index_cell(package, waits.get((name, "")))
        rows.append((Cell(name), *jobs, index, Cell(_elapsed(record, package, now).rjust(7))))
    headings = ("package", *arches, "index", "   time")
    return Table(headings, tuple(rows), f"run {record.id}: {record.state}", (headings[0], headings[-1]))


def _job_cell(job: JobRecord | None, now: float, waits: str | None) -> Cell:
    if job is None:
        return Cell("-", "dim")
    if waits:
        return Cell(waits, "yellow" if waits.startswith("no worker") else "dim")
    seconds = f" {now - job.started:.0f}s" if job.state in _IN_PROGRESS and job.started else ""
    return Cell(f"{job.state}{seconds}", _JOB_STYLES.get(job.state, "dim"))


def _index_cell(package: PackageRecord, waits: str | None) -> Cell:
    return Cell(waits or str(package.state), _PACKAGE_STYLES.get(package.state, "dim"))


def _elapsed(record: RunRecord, package: PackageRecord, now: float) -> str:
    end = package.at if package.state.ended else record.finished or now
    return f"{max(0.0, end - record.created):.1f}s"
