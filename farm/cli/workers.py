"""farm workers: who is there, and what each does."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click

from farm.cli.drain import drain, resume
from farm.cli.options import json_option, print_json, with_settings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.table import Table

    from farm.settings import Settings
    from farm.state.workers import RunningJob, WorkerInfo

_COLUMNS = ("worker", "serves", "engine", "free", "state", "heard", "works on")


@click.group("workers", invoke_without_command=True)
@with_settings("broker")
@json_option
@click.pass_context
def command(ctx: click.Context, /, settings: Settings, as_json: bool) -> None:
    """List the workers: what each builds, its engine, its free slots, what it works on, and how it is.

    \b
    up        takes jobs
    draining  takes no new job, and finishes what it has in hand
    drained   takes no new job, and has none in hand
    leaving   was told to end, and finishes what it has in hand
    silent    gave no sign of life for a while
    """
    if ctx.invoked_subcommand:
        return
    from farm.cli.connect import attached  # noqa: PLC0415 - Redis is slow to import
    from farm.state.workers import known_workers  # noqa: PLC0415

    with attached(settings) as (_, store):
        present, now = known_workers(store), store.now()
    if as_json:
        print_json([worker.to_json() for worker in present])
        return
    if not present:
        click.echo("no workers are up; start one: farm worker")
        return
    _show(present, now)


command.add_command(drain)
command.add_command(resume)


def _show(present: Sequence[WorkerInfo], now: float) -> None:
    from rich.console import Console  # noqa: PLC0415 - not for JSON

    console = Console()
    if console.is_terminal:
        console.print(_table(present, now))
        return
    for worker in present:
        click.echo("  ".join(_row(worker, now)))


def _table(present: Sequence[WorkerInfo], now: float) -> Table:
    from rich.table import Table  # noqa: PLC0415 - only on a terminal

    table = Table(box=None, pad_edge=False)
    for name in _COLUMNS:
        table.add_column(name, overflow="fold")
    for worker in present:
        style = "bold red" if worker.trouble or not worker.live else ""
        table.add_row(*_row(worker, now), style=style)
    return table


def _row(worker: WorkerInfo, now: float) -> tuple[str, ...]:
    return (
        worker.name,
        _serves(worker),
        _engine(worker),
        f"{worker.free}/{worker.slots} free",
        _state(worker),
        f"{max(0.0, now - worker.seen):.0f} s ago",
        "; ".join(_job(job) for job in worker.jobs) or "nothing",
    )


def _serves(worker: WorkerInfo) -> str:
    arches = (f"{arch} (emulated)" if arch in worker.emulated else arch for arch in worker.arches)
    return ", ".join((*arches, *(["publish"] if worker.publisher else [])))


def _engine(worker: WorkerInfo) -> str:
    return ", ".join(filter(None, (worker.engine, worker.builder.removeprefix("engine")))) or "none"


def _state(worker: WorkerInfo) -> str:
    by = f" by {worker.drained_by}" if worker.drained_by else ""
    trouble = f", {worker.trouble}" if worker.trouble else ""
    return f"{worker.state}{by}{trouble}"


def _job(job: RunningJob) -> str:
    since = max(0.0, time.time() - job.since)
    return f"{job.run} {job.package} {job.arch or 'index'} since {since:.0f} s"
