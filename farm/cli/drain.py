"""farm workers drain and resume: stop and restart the acceptance of jobs by any worker, from any machine."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click

from farm.cli.options import with_settings
from farm.errors import StateError
from farm.system.identity import user_at_host

if TYPE_CHECKING:
    from farm.settings import Settings
    from farm.state.store import Store
    from farm.state.workers import WorkerInfo

_ACKNOWLEDGE_SECONDS = 20.0
"""Time in which a worker that is up stops accepting jobs."""
_POLL_SECONDS = 0.2


@click.command("drain")
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
    from farm.cli.farm_connection import attached
    from farm.state import workers

    by = user_at_host()
    with attached(settings) as (_, store):
        for name in names:
            workers.drain(store, name, by)
        left = _wait_until_drained(store, names, idle=False, seconds=_ACKNOWLEDGE_SECONDS)
        if wait:
            left = _wait_until_drained(store, names, idle=True, seconds=timeout or settings.build_timeout)
    for name in names:
        done = "drained" if wait else "accepts no new job"
        click.echo(f"{name}: {'not yet drained' if name in left else done}")
    if left:
        raise StateError(
            f"{', '.join(sorted(left))}: not drained in time",
            hint="they stay drained; farm workers shows their jobs in progress",
        )


@click.command("resume")
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@with_settings("broker")
def resume(settings: Settings, names: tuple[str, ...]) -> None:
    """Make drained workers accept jobs again."""
    from farm.cli.farm_connection import attached
    from farm.state import workers

    with attached(settings) as (_, store):
        for name in names:
            was_drained = workers.resume(store, name)
            click.echo(f"{name}: {'accepts jobs again' if was_drained else 'was not drained'}")


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
