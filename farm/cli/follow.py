"""Follow a run: a live table on a terminal, plain lines elsewhere, JSON at the end with --json."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

import click

from farm.cli.output import print_json
from farm.cli.run_lines import change_line
from farm.cli.run_table import run_table
from farm.model import RunState
from farm.planning.wait_reasons import explain
from farm.state import following
from farm.state.following import RunView
from farm.state.logs import read_log
from farm.state.queue_positions import read_queue_positions
from farm.state.runs import read_run

if TYPE_CHECKING:
    from collections.abc import Sequence

    from farm.planning.plan import PackagePlan
    from farm.planning.wait_reasons import Waits
    from farm.state.records import RunRecord
    from farm.state.run_handles import JobHandle, RunHandle
    from farm.state.store import Store

_LOG_LINES = 8
_FRAMES_PER_SECOND = 8
_LINE_SECONDS = 5.0
"""Seconds between two looks at why something waits, where lines are printed."""
_TABLE_SECONDS = 2.0
"""The same for a table."""


def follow(run: RunHandle, *, up_to_date: Sequence[PackagePlan] = (), as_json: bool = False) -> int:
    """Show a run until it ends; returns the exit code. Ctrl-C does not end the run.

    `up_to_date` are packages that were given with those of the run and had nothing to do.
    """
    try:
        view = _show_progress(run, quiet=as_json)
    except KeyboardInterrupt:
        click.echo(f"\n{run} continues. Follow: farm status -f {run}   Cancel: farm cancel {run}", err=True)
        return 130
    record = view.record()
    if as_json:
        print_json(record.to_json() | {"upToDate": [item.to_json() for item in up_to_date]})
    else:
        for item in up_to_date:
            click.echo(f"{item.package.reference.familiar}  {item.why()}")
        print_result(run, record)
    return exit_code(record)


def print_run_name(run: str, *, as_json: bool) -> None:
    """Print the name of a run that was submitted and is not followed."""
    print_json({"run": run}) if as_json else click.echo(run)


def exit_code(record: RunRecord) -> int:
    """0 for a run that is open or done, else that of its first error."""
    if record.state in (RunState.OPEN, RunState.DONE):
        return 0
    errors = [package.error for package in record.packages.values() if package.error]
    return errors[0].exit_code if errors else 1


def _show_progress(run: RunHandle, *, quiet: bool) -> RunView:
    view = RunView(read_run(run))
    if not quiet and sys.stdout.isatty():
        _draw_table(run, view)
        return view
    printer = _LinePrinter(run.store, view)
    for name in following.follow(run, view):
        if not quiet:
            printer.print_change(name)
    return view


class _LinePrinter:
    """Prints the changes of a run line by line, and once for each job why it waits."""

    def __init__(self, store: Store, view: RunView) -> None:
        self._store, self._view = store, view
        self._looked = time.monotonic()
        self._printed: set[tuple[str, str]] = set()

    def print_change(self, name: str) -> None:
        """Print the change of the record `name`, if it has a line; "" is a moment without a change."""
        if name and (line := change_line(self._view.record(), name)):
            click.echo(line)
        if time.monotonic() - self._looked < _LINE_SECONDS:
            return
        self._looked = time.monotonic()
        record = self._view.record()
        for key, why in why_waiting(self._store, record).items():
            if key not in self._printed:
                self._printed.add(key)
                click.echo(f"{time.time() - record.created:6.1f}s  {' '.join(key).strip()}: {why}")


def _draw_table(run: RunHandle, view: RunView) -> None:
    from rich.live import Live

    from farm.cli.table import rich_table

    waits = why_waiting(run.store, view.record())
    first = rich_table(run_table(view.record(), time.time(), waits))
    with Live(first, refresh_per_second=_FRAMES_PER_SECOND, transient=False) as live:
        drawn = looked = 0.0
        for _ in following.follow(run, view):
            if time.monotonic() - drawn < 1 / _FRAMES_PER_SECOND:
                continue
            drawn = time.monotonic()
            if drawn - looked > _TABLE_SECONDS:
                waits, looked = why_waiting(run.store, view.record()), drawn
            record = view.record()
            live.update(rich_table(run_table(record, time.time(), _still_waiting(waits, record))))
        live.update(rich_table(run_table(view.record(), time.time(), {})))


def why_waiting(store: Store, record: RunRecord) -> Waits:
    """The reasons of the packages and jobs of a run that wait."""
    return explain(record, read_queue_positions(store, record))


def _still_waiting(waits: Waits, record: RunRecord) -> Waits:
    """The reasons of those that still wait."""
    return {key: why for key, why in waits.items() if key in explain(record, {})}


def print_result(run: RunHandle, record: RunRecord) -> None:
    """Print how a run ended: what was published, and the error and last log lines of what failed."""
    for package in record.packages.values():
        if package.index:
            click.echo(f"{package.reference}  {package.state}  {package.index.digest}")
    for package in record.packages.values():
        if not package.state.succeeded and package.error:
            for job in package.jobs.values():
                if job.error and job.started:
                    _print_log(run.package(package.package).job(job.arch))
            click.echo(f"{package.state}: {package.error}", err=True)
    click.echo(f"run {record.id}: {record.state}, {_elapsed(record)}")


def _elapsed(record: RunRecord) -> str:
    return f"{(record.finished or time.time()) - record.created:.1f} s"


def _print_log(job: JobHandle) -> None:
    lines = read_log(job, last=_LOG_LINES)
    if lines:
        click.echo(f"--- the last lines of {job}", err=True)
    for line in lines:
        click.echo(f"    {line}", err=True)
