"""farm cancel: end a run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from farm.cli.options import with_settings

if TYPE_CHECKING:
    from farm.settings import Settings


@click.command("cancel")
@click.argument("run")
@with_settings("broker")
def command(settings: Settings, run: str) -> None:
    """End all that has not ended of a run: queued builds never start, running ones are stopped.

    Images that were pushed stay, and the next push of the same packages finds them.
    """
    from farm.coordinator import cancel  # noqa: PLC0415 - Celery and Redis are slow to import
    from farm.local.attach import attached  # noqa: PLC0415

    with attached(settings) as (_, store):
        count = cancel(store, run)
    click.echo(
        f"{run}: {count} package{'s' if count != 1 else ''} cancelled"
        if count
        else f"{run} had ended already"
    )
