"""farm push: build what is missing, publish it, sign it, and show the progress."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click

from farm.cli.options import json_option, package_options, with_settings
from farm.cli.output import print_json, print_warnings
from farm.cli.push_flags import build_and_publish_options

if TYPE_CHECKING:
    from farm.package.tags import TagOptions
    from farm.planning.plan import Plan, PushOptions
    from farm.settings import Settings


@click.command("push")
@click.argument("directories", nargs=-1, required=True, metavar="DIR...")
@with_settings(
    "org", "arches", "sign", "broker", "engine", "build_args", "notary_server", "notary_ca", "signing_key"
)
@package_options
@build_and_publish_options
@click.option("--detach", is_flag=True, help="Submit the run, print its name, and exit.")
@click.option("--queue-anyway", is_flag=True, help="Submit even if an architecture has no worker.")
@json_option
def command(
    settings: Settings,
    directories: tuple[str, ...],
    tags: TagOptions,
    options: PushOptions,
    detach: bool,
    queue_anyway: bool,
    as_json: bool,
) -> int:
    """Build, publish and sign the packages in these directories.

    Builds and publishes only what the registry lacks. Ctrl-C does not end the run.

    \b
    farm push pkg/foo pkg/bar
    farm push --org localhost:5000/me --no-sign pkg/foo
    """
    from farm.planning.prepare_plan import prepare

    started = time.monotonic()
    plan = prepare(directories, tags, settings, options)
    return push_plan(
        plan,
        settings,
        started,
        partial=options.partial,
        detach=detach,
        queue_anyway=queue_anyway,
        as_json=as_json,
    )


def push_plan(
    plan: Plan,
    settings: Settings,
    started: float,
    *,
    partial: bool = False,
    detach: bool = False,
    queue_anyway: bool = False,
    as_json: bool = False,
) -> int:
    """Submit a plan and follow its run, or report that there is nothing to do; returns the exit code.

    `started` is when the command started, by time.monotonic().
    """
    print_warnings(plan.warnings)
    if plan.up_to_date:
        print_nothing_to_do(plan, as_json=as_json, seconds=time.monotonic() - started)
        return 0
    from farm.cli.farm_connection import attached
    from farm.cli.follow import follow, print_run_name
    from farm.private_farm.connect import require_workers
    from farm.scheduling.submission import submit

    with attached(settings, builds=True) as (connected, store):
        if not queue_anyway:
            require_workers(connected, store, plan.queues)
        run = submit(plan, connected, store, partial=partial)
        if detach:
            print_run_name(run.id, as_json=as_json)
            return 0
        up_to_date = tuple(item for item in plan.packages if item.up_to_date)
        return follow(run, up_to_date=up_to_date, as_json=as_json)


def print_nothing_to_do(plan: Plan, *, as_json: bool, seconds: float) -> None:
    """Print that every package of a plan is up to date, with the digests of their indexes."""
    if as_json:
        print_json({"run": None, "state": "done", "packages": [item.to_json() for item in plan.packages]})
        return
    for item in plan.packages:
        digest = item.published.index.digest if item.published.index else ""
        click.echo(f"{item.package.reference.familiar}  {item.why()}  {digest}")
    click.echo(f"nothing to do, found in {seconds:.2f} s")
