"""farm workers: list the workers, and what each works on."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

import click

from farm.cli.drain import drain, resume
from farm.cli.options import json_option, with_settings
from farm.cli.output import print_json
from farm.cli.table import Cell, Table, print_table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from farm.settings import Settings
    from farm.state.workers import RunningJob, WorkerInfo

_HEADINGS = ("worker", "serves", "engine", "free", "state", "heartbeat", "works on")


@click.group("workers", invoke_without_command=True)
@with_settings("broker")
@json_option
@click.pass_context
def command(ctx: click.Context, /, settings: Settings, as_json: bool) -> None:
    """List the workers: what each builds, its engine, its free slots, its state, and what it works on.

    \b
    up        accepts jobs
    draining  accepts no new job, and finishes its jobs in progress
    drained   accepts no new job, and has none in progress
    leaving   is shutting down, and finishes its jobs in progress
    silent    has missed its heartbeats
    """
    if ctx.invoked_subcommand:
        return
    from farm.cli.farm_connection import attached
    from farm.state.workers import known_workers

    with attached(settings) as (_, store):
        workers, now = known_workers(store), store.now()
    if as_json:
        print_json([worker.to_json() for worker in workers])
    elif not workers:
        click.echo("no workers are up; start one: farm worker")
    else:
        _print_workers(workers, now)


command.add_command(drain)
command.add_command(resume)


def _print_workers(workers: Sequence[WorkerInfo], now: float) -> None:
    """Print a table on a terminal, and lines without headings elsewhere."""
    if not sys.stdout.isatty():
        for worker in workers:
            click.echo("  ".join(_texts(worker, now)))
        return
    rows = tuple(tuple(Cell(text, _style(worker)) for text in _texts(worker, now)) for worker in workers)
    print_table(Table(_HEADINGS, rows))


def _style(worker: WorkerInfo) -> str:
    return "bold red" if worker.trouble or not worker.live else ""


def _texts(worker: WorkerInfo, now: float) -> tuple[str, ...]:
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
    seconds = max(0.0, time.time() - job.since)
    return f"{job.run} {job.package} {job.arch or 'index'} for {seconds:.0f} s"
