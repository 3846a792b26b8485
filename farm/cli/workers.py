"""farm worker: run one; farm workers: list them, drain and resume them, from any machine."""

from __future__ import annotations

import os
import sys
import time
from typing import TYPE_CHECKING

import click

from farm.cli.options import attached, json_option, with_settings
from farm.cli.output import print_answer, print_json, say
from farm.cli.tables import Cell, Table, print_table
from farm.cli.worker_init import init
from farm.errors import InputError, NoWorkerError, SettingsError, StateError
from farm.system.identity import user_at_host

if TYPE_CHECKING:
    from collections.abc import Sequence

    from farm.settings import Settings
    from farm.state.store import Store
    from farm.state.workers import RunningJob, WorkerInfo

_HEADINGS = ("worker", "serves", "release", "engine", "free", "state", "heartbeat", "works on")
_ACKNOWLEDGE_SECONDS = 20.0
"""Time in which a worker that is up stops accepting jobs."""
_POLL_SECONDS = 0.2


@click.group("workers", invoke_without_command=True)
@with_settings("broker")
@json_option
@click.pass_context
def list_workers(ctx: click.Context, /, settings: Settings, as_json: bool) -> None:
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
    from farm.state.workers import known_workers

    with attached(settings) as (_, store):
        workers, now = known_workers(store), store.now()
    if as_json:
        print_json([worker.to_json() for worker in workers])
    elif not workers:
        say("no workers are up; start one: farm worker")
    else:
        _print_workers(workers, now)


@list_workers.command("drain")
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@click.option("--wait", is_flag=True, help="Wait until no job is in progress.")
@click.option(
    "--timeout",
    type=click.FloatRange(min=0, min_open=True),
    metavar="SECONDS",
    help="With --wait: give up after this time; the workers stay drained. Default: the longest build.",
)
@with_settings("broker")
def drain(settings: Settings, names: tuple[str, ...], wait: bool, timeout: float | None) -> None:
    """Make workers accept no new job, and finish their jobs in progress.

    They stay drained across restarts, until `farm workers resume`. The command returns when they have stopped
    accepting jobs.
    """
    from farm.state.workers import drain as drain_worker

    by = user_at_host()
    with attached(settings) as (_, store):
        for name in names:
            drain_worker(store, name, by)
        left = _wait_until_drained(store, names, idle=False, seconds=_ACKNOWLEDGE_SECONDS)
        if wait:
            left = _wait_until_drained(store, names, idle=True, seconds=timeout or settings.build_timeout)
    for name in names:
        done = "drained" if wait else "accepts no new job"
        say(f"{name}: {'not yet drained' if name in left else done}")
    if left:
        raise StateError(
            f"{', '.join(sorted(left))}: not drained in time",
            hint="they stay drained; farm workers shows their jobs in progress",
        )


@list_workers.command("resume")
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@with_settings("broker")
def resume(settings: Settings, names: tuple[str, ...]) -> None:
    """Make drained workers accept jobs again."""
    from farm.state.workers import resume as resume_worker

    with attached(settings) as (_, store):
        for name in names:
            was_drained = resume_worker(store, name)
            say(f"{name}: {'accepts jobs again' if was_drained else 'was not drained'}")


def _wait_until_drained(
    store: Store, names: tuple[str, ...], *, idle: bool, seconds: float
) -> dict[str, WorkerInfo]:
    """Wait until live workers accept no job and, if `idle`, have none; returns those that have not."""
    from farm.state.workers import workers

    deadline = time.monotonic() + seconds
    while True:
        live = [worker for worker in workers(store) if worker.name in names]
        left = {worker.name: worker for worker in live if worker.consuming or (idle and worker.jobs)}
        if not left or time.monotonic() > deadline:
            return left
        time.sleep(_POLL_SECONDS)


def _print_workers(workers: Sequence[WorkerInfo], now: float) -> None:
    if not sys.stdout.isatty():
        for worker in workers:
            say("  ".join(_texts(worker, now)))
        return
    rows = []
    for worker in workers:
        style = "bold red" if worker.trouble or not worker.live else ""
        rows.append(tuple(Cell(text, style) for text in _texts(worker, now)))
    print_table(Table(_HEADINGS, tuple(rows)))


def _texts(worker: WorkerInfo, now: float) -> tuple[str, ...]:
    return (
        worker.name,
        _serves(worker),
        worker.release or "?",
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
    return f"{job.run} {job.package} {job.arch or 'index'} for {max(0.0, time.time() - job.since):.0f} s"


@click.group("worker", invoke_without_command=True)
@click.option(
    "--arch", "arches", multiple=True, metavar="ARCH", help="Build for ARCH. Default: the engine's own."
)
@click.option("--publish", is_flag=True, help="Publish and sign; without --arch, build nothing.")
@click.option("--name", help="Name of the worker. Default: ARCH@HOST.")
@click.option(
    "--check",
    is_flag=True,
    help="Start no worker; exit with 0 if the workers of this machine, or NAME, are alive.",
)
@json_option
@with_settings(
    "broker",
    "engine",
    "emulate",
    "concurrency",
    "notary_server",
    "notary_ca",
    "signing_key",
    "cosign_key",
    "sign",
)
@click.pass_context
def worker(
    ctx: click.Context,
    settings: Settings,
    arches: tuple[str, ...],
    publish: bool,
    name: str | None,
    check: bool,
    as_json: bool,
) -> None:
    """Run a worker for a farm until it is stopped.

    A worker for an architecture needs a Docker Engine and a registry login that may push; a publisher needs
    the signing key. On SIGTERM or Ctrl-C the builds in progress are finished. A second signal, or SIGQUIT,
    stops them at once and returns their jobs to the queue.

    \b
    farm worker init     create the key of this worker
    FARM_BROKER=rediss://farm.example.org farm worker
    FARM_BROKER=rediss://farm.example.org farm worker --publish --signing-key key.pem
    """
    from farm.private_farm.child_processes import worker_command
    from farm.settings import child_environment

    if ctx.invoked_subcommand:
        return
    if settings.broker is None:
        raise SettingsError("a worker needs a broker", hint="set FARM_BROKER=redis://HOST:6379/0")
    if check:
        _check(settings, name, as_json=as_json)
        return
    if as_json:
        raise InputError("--json: only with --check; a worker writes a log")
    words = worker_command(
        [arch for given in arches for arch in given.split(",")],
        publish=publish,
        name=name,
        debug=ctx.obj.debug,
    )
    os.execvpe(words[0], words, child_environment(settings))  # noqa: S606 - the worker takes over this process and its signals


worker.add_command(init)


def _check(settings: Settings, name: str | None, *, as_json: bool) -> None:
    """Print the states of the workers of that name, or of this machine."""
    from farm.state.workers import known_workers
    from farm.system.identity import host_name

    with attached(settings) as (_, store):
        known = known_workers(store)
    checked = [worker for worker in known if (worker.name == name if name else worker.host == host_name())]
    silent = [worker.name for worker in checked if not worker.live]
    alive = bool(checked) and not silent
    if alive or not as_json:
        lines = (f"{one.name}: {one.state}{f', {one.trouble}' if one.trouble else ''}" for one in checked)
        print_answer([worker.to_json() for worker in checked], lines, as_json=as_json)
    if not alive:
        missing = f"no worker {name or 'of this machine'} is up"
        raise NoWorkerError(
            f"{', '.join(silent)} missed its heartbeats" if silent else missing, hint="see its log"
        )
