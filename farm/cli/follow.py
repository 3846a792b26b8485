"""A run as it goes: a live table on a terminal, plain lines elsewhere, JSON at the end when asked."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

import click

from farm.cli.options import print_json
from farm.cli.run_table import draw
from farm.cli.run_view import RunView
from farm.errors import StateError, StateUnavailableError
from farm.model import RunState
from farm.planning.explain import explain
from farm.state import runs
from farm.state.logs import read_log
from farm.state.queue_positions import read_lines

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from farm.planning.explain import Waits
    from farm.planning.plan import PackagePlan
    from farm.state.records import RunRecord
    from farm.state.store import Store

_LAST_LINES = 8
_FRAMES = 8
"""Drawings of the table in a second, at the most."""
_TELL_AGAIN = 5.0
"""Seconds after which somebody who reads lines is told why something waits."""
_ASK_AGAIN = 2.0
"""Seconds between two looks at why something waits."""
_PATIENCE = 900.0
"""Seconds for which a Redis that is away is waited for, as workers do with work in hand."""


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
    teller = _Teller(store, view)
    for name, _ in _changes(store, run, view, ticks=not quiet):
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
        if name and (line := self._view.line(name)):
            click.echo(line)
        if time.monotonic() - self._asked < _TELL_AGAIN:
            return
        self._asked = time.monotonic()
        record = self._view.record()
        for key, why in why_waiting(self._store, record).items():
            if key not in self._told:
                self._told.add(key)
                click.echo(f"{time.time() - record.created:6.1f}s  {' '.join(key).strip()}: {why}")


def _watch_table(store: Store, run: str, view: RunView) -> None:
    from rich.live import Live  # noqa: PLC0415 - not for those who asked for lines or JSON

    waits = why_waiting(store, view.record())
    with Live(draw(view.record(), time.time(), waits), refresh_per_second=_FRAMES, transient=False) as live:
        shown = asked = 0.0
        for _ in _changes(store, run, view, ticks=True):
            if time.monotonic() - shown < 1 / _FRAMES:
                continue
            shown = time.monotonic()
            if shown - asked > _ASK_AGAIN:
                waits, asked = why_waiting(store, view.record()), shown
            live.update(draw(view.record(), time.time(), _still(waits, view.record())))
        live.update(draw(view.record(), time.time(), {}))


def why_waiting(store: Store, record: RunRecord) -> Waits:
    """Why the packages and jobs of a run wait that do."""
    return explain(record, read_lines(store, record))


def _still(waits: Waits, record: RunRecord) -> Waits:
    """Those reasons whose jobs and packages still wait."""
    return {key: why for key, why in waits.items() if key in explain(record, {})}


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
