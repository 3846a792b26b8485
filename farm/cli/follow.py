"""A run as it goes: a live table on a terminal, plain lines elsewhere, JSON at the end when asked."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

import click

from farm.cli.options import print_json
from farm.cli.table import draw
from farm.cli.view import RunView
from farm.errors import StateError, StateUnavailableError
from farm.model import RunState
from farm.state import runs
from farm.state.logs import read_log

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from farm.plan.model import PackagePlan
    from farm.state.records import RunRecord
    from farm.state.store import Store

_LAST_LINES = 8
_FRAMES = 8
"""Drawings of the table in a second, at the most."""
_PATIENCE = 60.0
"""Seconds for which a Redis that is away is waited for."""


def follow(store: Store, run: str, *, standing: Sequence[PackagePlan] = (), as_json: bool = False) -> int:
    """Show a run until it ends; returns the exit code. Ctrl-C leaves it going, and says so."""
    try:
        view = _watch(store, run, quiet=as_json)
    except KeyboardInterrupt:
        click.echo(f"\n{run} goes on. Follow it: farm status -f {run}   End it: farm cancel {run}", err=True)
        return 130
    record = view.record()
    if as_json:
        print_json(record.to_json() | {"standing": [item.to_json() for item in standing]})
    else:
        for item in standing:
            click.echo(f"{item.package.reference.familiar}  {item.why()}")
        report(store, record)
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


def _watch(store: Store, run: str, *, quiet: bool) -> RunView:
    view = RunView(runs.read_run(store, run))
    if not quiet and sys.stdout.isatty():
        _watch_table(store, run, view)
        return view
    for name, _ in _changes(store, run, view):
        if not quiet and (line := view.line(name)):
            click.echo(line)
    return view


def _watch_table(store: Store, run: str, view: RunView) -> None:
    from rich.live import Live  # noqa: PLC0415 - not for those who asked for lines or JSON

    with Live(draw(view.record(), time.time()), refresh_per_second=_FRAMES, transient=False) as live:
        shown = 0.0
        for _ in _changes(store, run, view, ticks=True):
            if time.monotonic() - shown > 1 / _FRAMES:
                shown = time.monotonic()
                live.update(draw(view.record(), time.time()))
        live.update(draw(view.record(), time.time()))


def _changes(store: Store, run: str, view: RunView, *, ticks: bool = False) -> Iterator[tuple[str, str]]:
    """Apply each change to the view and tell it, until the run ends; reads again where Redis was away."""
    away_since: float | None = None
    while True:
        try:
            for change in runs.events(store, run):
                away_since = None
                if change:
                    view.apply(*change)
                    yield change
                elif not runs.is_known(store, run):
                    raise StateError(
                        f"Redis was emptied, and {run} with it",
                        hint="farm push again goes on from the registry",
                    )
                elif ticks:
                    yield ("", "")
                if view.state.ended:
                    return
        except StateUnavailableError:
            away_since = away_since or time.monotonic()
            if time.monotonic() - away_since > _PATIENCE:
                raise
            time.sleep(1)


def report(store: Store, record: RunRecord) -> None:
    """Print what came of a run: what was published, and the reason and last lines of what failed."""
    for package in record.packages.values():
        if package.index:
            click.echo(f"{package.reference}  {package.state}  {package.index.digest}")
    for package in record.packages.values():
        if not package.state.stands and package.error:
            for job in package.jobs.values():
                _show_log(store, record.id, package.package, job.arch, failed=bool(job.error and job.started))
            click.echo(f"{package.state}: {package.error}", err=True)
    click.echo(f"run {record.id}: {record.state}, {_took(record)}")


def _took(record: RunRecord) -> str:
    return f"{(record.finished or time.time()) - record.created:.1f} s"


def _show_log(store: Store, run: str, package: str, arch: str, *, failed: bool) -> None:
    if not failed:
        return
    lines = read_log(store, run, package, arch, last=_LAST_LINES)
    if lines:
        click.echo(f"--- the last lines of {package} {arch}", err=True)
    for line in lines:
        click.echo(f"    {line}", err=True)
