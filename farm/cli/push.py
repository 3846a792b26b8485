"""farm push: build what is missing, publish it, sign it, and show how it goes."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click

from farm.cli.options import json_option, package_options, print_json, with_settings
from farm.cli.push_options import Wishes, wish_options

if TYPE_CHECKING:
    from farm.package.tag_options import TagOptions
    from farm.planning.plan import Plan
    from farm.settings import Settings


@click.command("push")
@click.argument("directories", nargs=-1, required=True, metavar="DIR...")
@with_settings(
    "org", "arches", "sign", "broker", "engine", "build_args", "notary_server", "notary_ca", "signing_key"
)
@package_options
@wish_options
@click.option("--detach", is_flag=True, help="Submit, print the run's name, and leave.")
@click.option("--queue-anyway", is_flag=True, help="Submit although no worker is up for an architecture.")
@json_option
def command(
    settings: Settings,
    directories: tuple[str, ...],
    tags: TagOptions,
    wishes: Wishes,
    detach: bool,
    queue_anyway: bool,
    as_json: bool,
) -> int:
    """Build, publish and sign the packages in these directories.

    Only what is missing in the registry is done. Ctrl-C leaves the run going.

    \b
    farm push pkg/foo pkg/bar
    farm push --org localhost:5000/me --no-sign pkg/foo
    """
    from farm.planning.prepare import prepare  # noqa: PLC0415 - the registry client is imported when it is used

    begun = time.monotonic()
    plan = prepare(directories, tags, settings, wishes.to_wish(settings))
    if plan.up_to_date:
        return say_nothing_to_do(plan, as_json=as_json, seconds=time.monotonic() - begun)
    return carry_out(
        plan, settings, partial=wishes.partial, detach=detach, queue_anyway=queue_anyway, as_json=as_json
    )


def carry_out(
    plan: Plan, settings: Settings, *, partial: bool, detach: bool, queue_anyway: bool, as_json: bool
) -> int:
    """Submit a plan and follow its run; returns the exit code."""
    from farm.cli.connect import attached  # noqa: PLC0415 - Redis and rich are imported when there is a run
    from farm.cli.follow import announce, follow  # noqa: PLC0415
    from farm.private_farm.connect import require_workers  # noqa: PLC0415
    from farm.scheduling.submission import submit  # noqa: PLC0415

    for warning in plan.warnings:
        click.echo(f"warning: {warning}", err=True)
    with attached(settings, builds=True) as (connected, store):
        if not queue_anyway:
            require_workers(connected, store, plan.queues)
        run = submit(plan, connected, store, partial=partial)
        if detach:
            announce(run.id, as_json=as_json)
            return 0
        up_to_date = tuple(item for item in plan.packages if item.up_to_date)
        return follow(run, up_to_date=up_to_date, as_json=as_json)


def say_nothing_to_do(plan: Plan, *, as_json: bool, seconds: float) -> int:
    """Print that all packages of a plan are up to date, and their digests; returns the exit code."""
    if as_json:
        print_json({"run": None, "state": "done", "packages": [item.to_json() for item in plan.packages]})
        return 0
    for item in plan.packages:
        digest = item.published.index.digest if item.published.index else ""
        click.echo(f"{item.package.reference.familiar}  {item.why()}  {digest}")
    click.echo(f"nothing to do, found in {seconds:.2f} s")
    return 0
