"""farm retry: do again what of a run failed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from farm.cli.options import json_option, print_json, with_settings

if TYPE_CHECKING:
    from farm.settings import Settings


@click.command("retry")
@click.argument("run")
@click.argument("packages", nargs=-1, metavar="[PACKAGE]...")
@with_settings("broker")
@click.option("--detach", is_flag=True, help="Submit, print the new run's name, and leave.")
@click.option("--queue-anyway", is_flag=True, help="Submit although no worker is up for an architecture.")
@json_option
def command(
    settings: Settings, run: str, packages: tuple[str, ...], detach: bool, queue_anyway: bool, as_json: bool
) -> int:
    """Do again what failed, was cancelled or was lost of RUN, and only that, as a new run.

    Images that were built stay as they are. The very content that RUN had is built, not what the working
    directory holds now: after a mended Dockerfile it is `farm push` that builds.

    With a PACKAGE comes whatever it needs that does not stand either. While something that it needs is still
    under way in RUN, it is refused.

    \b
    farm retry r42
    farm retry r42 linuxkit/foo
    """
    from farm.cli.connect import attached  # noqa: PLC0415 - Celery, Redis and rich are slow to import
    from farm.cli.follow import announce, follow  # noqa: PLC0415
    from farm.private_farm.connect import require_workers  # noqa: PLC0415
    from farm.scheduling.retry import plan_retry, submit_retry  # noqa: PLC0415
    from farm.state.handles import RunHandle  # noqa: PLC0415

    with attached(settings, builds=True) as (connected, store):
        retry = plan_retry(RunHandle(store, run), packages)
        if retry is None:
            print_json({"run": None, "retryOf": run}) if as_json else click.echo(f"{run}: nothing failed")
            return 0
        new = retry.run
        for name, needed_by in retry.added.items():
            click.echo(f"{name} is done again too: {needed_by} needs it", err=True)
        if not queue_anyway:
            require_workers(connected, store, new.queues)
        submitted = submit_retry(store, connected, new)
        if detach:
            announce(submitted.id, as_json=as_json)
            return 0
        return follow(submitted, as_json=as_json)
