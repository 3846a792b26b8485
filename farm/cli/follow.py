"""A run as it goes: a live table on a terminal, plain lines elsewhere, JSON at the end when asked."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

import click

from farm.cli.options import print_json
from farm.cli.run_lines import change_line
from farm.cli.run_table import draw
from farm.model import RunState
from farm.planning.explain import explain
from farm.state import following
from farm.state.logs import read_log
from farm.state.queue_positions import read_queue_positions

if TYPE_CHECKING:
    from collections.abc import Sequence

    from farm.planning.explain import Waits
    from farm.planning.plan import PackagePlan
    from farm.state.following import RunView
    from farm.state.handles import JobHandle, RunHandle
    from farm.state.records import RunRecord
    from farm.state.store import Store

_LAST_LINES = 8
_FRAMES = 8
"""Drawings of the table in a second, at the most."""
_TELL_AGAIN = 5.0
"""Seconds after which somebody who reads lines is told why something waits."""
_ASK_AGAIN = 2.0
"""Seconds between two looks at why something waits."""


def follow(run: RunHandle, *, up_to_date: Sequence[PackagePlan] = (), as_json: bool = False) -> int:
    """Show a run until it ends; returns the exit code. Ctrl-C leaves it going, and says so."""
    try:
        view = _watch(run, quiet=as_json)
    except KeyboardInterrupt:
        click.echo(f"\n{run} goes on. Follow it: farm status -f {run}   End it: farm cancel {run}", err=True)
        return 130
    record = view.record()
    if as_json:
        print_json(record.to_json() | {"up_to_date": [item.to_json() for item in up_to_date]})
    else:
        for item in up_to_date:
            click.echo(f"{item.package.reference.familiar}  {item.why()}")
        report(run, record)
    return exit_code(record)


def announce(run: str, *, as_json: bool) -> None:
    """Print the name of a run that was submitted and is not followed."""
    print_json({"run": run}) if as_json else click.echo(run)


def exit_code(record: RunRecord) -> int:
    """0 for a run that is done or under way, else that of its first error."""
    if record.state in (RunState.OPEN, RunState.DONE):
        return 0
    errors = [package.error for package in record.packages.values() if package.error]
    return errors[0].exit_code if errors else 1


def _watch(run: RunHandle, *, quiet: bool) -> RunView:
    view = following.open_view(run)
    if not quiet and sys.stdout.isatty():
        _watch_table(run, view)
        return view
    teller = _Teller(run.store, view)
    for name in following.follow(run, view):
        if not quiet:
            teller.tell(name)
    return view


class _Teller:
    """Tells a run's changes line by line, and once for each job why it waits, when it has waited a while."""

    def __init__(self, store: Store, view: RunView) -> None:
        self._store, self._view = store, view
        self._asked = time.monotonic()
        self._told: set[tuple[str, str]] = set()

    def tell(self, name: str) -> None:
        """Print what the change of the record `name` is worth; "" stands for a moment without a change."""
        if name and (line := change_line(self._view.record(), name)):
            click.echo(line)
        if time.monotonic() - self._asked < _TELL_AGAIN:
            return
        self._asked = time.monotonic()
        record = self._view.record()
        for key, why in why_waiting(self._store, record).items():
            if key not in self._told:
                self._told.add(key)
                click.echo(f"{time.time() - record.created:6.1f}s  {' '.join(key).strip()}: {why}")


def _watch_table(run: RunHandle, view: RunView) -> None:
    from rich.live import Live  # noqa: PLC0415 - not for those who asked for lines or JSON

    waits = why_waiting(run.store, view.record())
    with Live(draw(view.record(), time.time(), waits), refresh_per_second=_FRAMES, transient=False) as live:
        shown = asked = 0.0
        for _ in following.follow(run, view):
            if time.monotonic() - shown < 1 / _FRAMES:
                continue
            shown = time.monotonic()
            if shown - asked > _ASK_AGAIN:
                waits, asked = why_waiting(run.store, view.record()), shown
            live.update(draw(view.record(), time.time(), _still(waits, view.record())))
        live.update(draw(view.record(), time.time(), {}))


def why_waiting(store: Store, record: RunRecord) -> Waits:
    """Why the packages and jobs of a run wait that do."""
    return explain(record, read_queue_positions(store, record))


def _still(waits: Waits, record: RunRecord) -> Waits:
    """Those reasons whose jobs and packages still wait."""
    return {key: why for key, why in waits.items() if key in explain(record, {})}


def report(run: RunHandle, record: RunRecord) -> None:
    """Print how a run ended: what was published, and the error and last log lines of what failed."""
    for package in record.packages.values():
        if package.index:
            click.echo(f"{package.reference}  {package.state}  {package.index.digest}")
    for package in record.packages.values():
        if not package.state.succeeded and package.error:
            for job in package.jobs.values():
                if job.error and job.started:
                    _show_log(run.package(package.package).job(job.arch))
            click.echo(f"{package.state}: {package.error}", err=True)
    click.echo(f"run {record.id}: {record.state}, {_took(record)}")


def _took(record: RunRecord) -> str:
    return f"{(record.finished or time.time()) - record.created:.1f} s"


def _show_log(job: JobHandle) -> None:
    lines = read_log(job, last=_LAST_LINES)
    if lines:
        click.echo(f"--- the last lines of {job}", err=True)
    for line in lines:
        click.echo(f"    {line}", err=True)
