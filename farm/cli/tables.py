"""Tables: drawn by rich on a terminal, aligned plain lines elsewhere; and a run as a table."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from farm.cli.output import say
from farm.model import ARCHES, JobState, PackageState
from farm.syntax.printable import one_line

if TYPE_CHECKING:
    from rich.table import Table as RichTable

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


@dataclass(frozen=True, slots=True)
class Cell:
    """A text and its style, in rich's notation."""

    text: str
    style: str = ""


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of cells below their headings."""

    headings: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    title: str | None = None
    unwrapped: tuple[str, ...] = ()
    """Headings of the columns that a narrow terminal must not wrap."""
    caption: str | None = None
    """The line below."""


def print_table(table: Table) -> None:
    """Print a table; rich is imported only if standard output is a terminal."""
    if sys.stdout.isatty():
        from rich.console import Console

        Console().print(rich_table(table))
    else:
        for line in plain_lines(table):
            say(line)


def rich_table(table: Table) -> RichTable:
    """The table for rich."""
    from rich.table import Table as RichTable
    from rich.text import Text

    title = Text(one_line(table.title)) if table.title else None
    drawn = RichTable(title=title, title_justify="left", box=None, pad_edge=False)
    drawn.caption, drawn.caption_justify = table.caption, "left"
    for heading in table.headings:
        unwrapped = heading in table.unwrapped
        drawn.add_column(heading, no_wrap=unwrapped, overflow="ellipsis" if unwrapped else "fold")
    for row in table.rows:
        drawn.add_row(*(Text(one_line(cell.text), style=cell.style) for cell in row))
    return drawn


def plain_lines(table: Table) -> list[str]:
    """The table as aligned lines without styles."""
    rows = [table.headings, *(tuple(cell.text for cell in row) for row in table.rows)]
    widths = [max(map(len, texts)) for texts in zip(*rows, strict=True)]
    lines = ("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)
    return [*([table.title] if table.title else []), *lines, *([table.caption] if table.caption else [])]


def run_table(record: RunRecord, now: float, waits: Waits) -> Table:
    """The table of a run at a moment, Unix seconds; `waits` says why something waits."""
    known = {arch for package in record.packages.values() for arch in package.jobs}
    arches = [arch for arch in ARCHES if arch in known]
    rows = []
    for name, package in record.packages.items():
        jobs = (_job_cell(package.jobs.get(arch), now, waits.get((name, arch))) for arch in arches)
        index = Cell(waits.get((name, "")) or str(package.state), _PACKAGE_STYLES.get(package.state, "dim"))
        rows.append((Cell(name), *jobs, index, Cell(_elapsed(record, package, now).rjust(7))))
    headings = ("package", *arches, "index", "   time")
    return Table(headings, tuple(rows), f"run {record.id}: {record.state}", (headings[0], headings[-1]))


def _job_cell(job: JobRecord | None, now: float, waits: str | None) -> Cell:
    if job is None:
        return Cell("-", "dim")
    if waits and job.state in (JobState.QUEUED, JobState.WAITING):
        return Cell(waits, "yellow" if waits.startswith("no worker") else "dim")
    seconds = f" {now - job.started:.0f}s" if job.state in _IN_PROGRESS and job.started else ""
    return Cell(f"{job.state}{seconds}", _JOB_STYLES.get(job.state, "dim"))


def _elapsed(record: RunRecord, package: PackageRecord, now: float) -> str:
    end = package.at if package.state.ended else record.finished or now
    return f"{max(0.0, end - record.created):.1f}s"
