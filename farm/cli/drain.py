"""farm workers drain and resume: have workers take no new job, from any machine, until they should again."""

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

_HEARD = 20.0
"""Seconds that a worker which is up is given to take notice."""
_LOOK = 0.2


@click.command("drain")
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@click.option("--wait", is_flag=True, help="Return when nothing is in hand any more.")
@click.option(
    "--timeout",
    type=click.FloatRange(min=0, min_open=True),
    metavar="SECONDS",
    help="With --wait: give up after that time; by default the longest build. The workers stay drained.",
)
@with_settings("broker")
def drain(settings: Settings, names: tuple[str, ...], wait: bool, timeout: float | None) -> None:
    """Have workers take no new job; what they have in hand they finish.

    They stay drained when they start again, until `farm workers resume`. When the command returns, they have
    taken notice.
    """
    from farm.cli.connect import attached  # noqa: PLC0415 - Redis is slow to import
    from farm.state import workers  # noqa: PLC0415

    with attached(settings) as (_, store):
        for name in names:
            workers.drain(store, name, user_at_host())
        left = _wait(store, names, idle=False, seconds=_HEARD)
        if wait:
            left = _wait(store, names, idle=True, seconds=timeout or settings.build_timeout)
    for name in names:
        click.echo(f"{name}: {_told(left.get(name), wait=wait)}")
    if busy := sorted(left):
        raise StateError(
            f"{', '.join(busy)}: not drained in time",
            hint="farm workers shows what is in hand; they stay drained",
        )


@click.command("resume")
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@with_settings("broker")
def resume(settings: Settings, names: tuple[str, ...]) -> None:
    """Have drained workers take jobs again."""
    from farm.cli.connect import attached  # noqa: PLC0415 - Redis is slow to import
    from farm.state import workers  # noqa: PLC0415

    with attached(settings) as (_, store):
        for name in names:
            was = workers.resume(store, name)
            click.echo(f"{name}: {'takes jobs again' if was else 'was not drained'}")


def _told(left: WorkerInfo | None, *, wait: bool) -> str:
    if left:
        return "not yet drained"
    return "drained" if wait else "takes no new job"


def _wait(store: Store, names: tuple[str, ...], *, idle: bool, seconds: float) -> dict[str, WorkerInfo]:
    """Wait until those of them that live have taken notice and, if `idle`, hold nothing; returns the rest."""
    from farm.state.workers import workers  # noqa: PLC0415 - Redis is slow to import

    deadline = time.monotonic() + seconds
    while True:
        there = [worker for worker in workers(store) if worker.name in names]
        left = {worker.name: worker for worker in there if worker.consuming or (idle and worker.jobs)}
        if not left or time.monotonic() > deadline:
            return left
        time.sleep(_LOOK)
