"""farm retry: submit a new run of what failed in another."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from farm.cli.options import json_option, with_settings
from farm.cli.output import print_json

if TYPE_CHECKING:
    from farm.settings import Settings


@click.command("retry")
@click.argument("run")
@click.argument("packages", nargs=-1, metavar="[PACKAGE]...")
@with_settings("broker")
@click.option("--detach", is_flag=True, help="Submit the new run, print its name, and exit.")
@click.option("--queue-anyway", is_flag=True, help="Submit even if an architecture has no worker.")
@json_option
def command(
    settings: Settings, run: str, packages: tuple[str, ...], detach: bool, queue_anyway: bool, as_json: bool
) -> int:
    """Submit a new run of what failed, was cancelled or lost in RUN, and of nothing else.

    Images that were built are kept. The new run builds the content that was submitted with RUN, not the
    current content of the working directory: use `farm push` after a change.

    A PACKAGE includes its unpublished dependencies. A package is refused while a dependency is still in
    progress in RUN.

    \b
    farm retry r42
    farm retry r42 linuxkit/foo
    """
    from farm.cli.farm_connection import attached
    from farm.cli.follow import follow, print_run_name
    from farm.private_farm.connect import require_workers
    from farm.scheduling.submission import plan_retry, submit_retry
    from farm.state.run_handles import RunHandle

    with attached(settings, builds=True) as (connected, store):
        retry = plan_retry(RunHandle(store, run), packages)
        if retry is None:
            print_json({"run": None, "retryOf": run}) if as_json else click.echo(f"{run}: nothing failed")
            return 0
        new = retry.run
        for name, needed_by in retry.added.items():
            click.echo(f"{name} is retried too: {needed_by} needs it", err=True)
        if not queue_anyway:
            require_workers(connected, store, new.queues)
        submitted = submit_retry(store, connected, new)
        if detach:
            print_run_name(submitted.id, as_json=as_json)
            return 0
        return follow(submitted, as_json=as_json)
