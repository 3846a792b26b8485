"""A run as a table: one row a package, one cell an architecture."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from farm.model import ARCHES, JobState, PackageState

if TYPE_CHECKING:
    from farm.planning.explain import Waits
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
_RUNNING = (JobState.LEASED, JobState.BUILDING, JobState.PUSHING)


def draw(record: RunRecord, now: float, waits: Waits) -> Table:
    """The table of a run at a moment, Unix seconds; `waits` says why something waits."""
    known = {arch for package in record.packages.values() for arch in package.jobs}
    arches = [arch for arch in ARCHES if arch in known]
    table = Table(title=f"run {record.id}: {record.state}", title_justify="left", box=None, pad_edge=False)
    table.add_column("package", no_wrap=True)
    for arch in arches:
        table.add_column(arch)
    table.add_column("index")
    table.add_column("time", justify="right", no_wrap=True)
    for name, package in record.packages.items():
        cells = [_job(package.jobs.get(arch), now, waits.get((name, arch))) for arch in arches]
        index = _index(package, waits.get((name, "")))
        table.add_row(name, *cells, index, _elapsed(record, package, now))
    return table


def _job(job: JobRecord | None, now: float, waits: str | None) -> Text:
    if job is None:
        return Text("-", style="dim")
    if waits:
        return Text(waits, style="yellow" if waits.startswith("no worker") else "dim")
    seconds = f" {now - job.started:.0f}s" if job.state in _RUNNING and job.started else ""
    return Text(f"{job.state}{seconds}", style=_JOB_STYLES.get(job.state, "dim"))


def _index(package: PackageRecord, waits: str | None) -> Text:
    return Text(waits or str(package.state), style=_PACKAGE_STYLES.get(package.state, "dim"))


def _elapsed(record: RunRecord, package: PackageRecord, now: float) -> str:
    end = package.at if package.state.ended else record.finished or now
    return f"{max(0.0, end - record.created):.1f}s"
