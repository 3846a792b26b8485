"""farm plan: what a push would do, and why."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from farm.cli.options import json_option, package_options, with_settings
from farm.cli.output import print_json, print_warnings
from farm.cli.push_flags import build_and_publish_options

if TYPE_CHECKING:
    from farm.package.tags import TagOptions
    from farm.planning.plan import Plan, PushOptions
    from farm.settings import Settings


@click.command("plan")
@click.argument("directories", nargs=-1, required=True, metavar="DIR...")
@with_settings("org", "arches", "sign", "notary_server", "notary_ca", sign="show what a push would sign")
@package_options
@build_and_publish_options
@json_option
def command(
    settings: Settings, directories: tuple[str, ...], tags: TagOptions, options: PushOptions, as_json: bool
) -> None:
    """Show what `farm push` would do for these packages, and why. Changes nothing."""
    from farm.planning.prepare_plan import prepare

    plan = prepare(directories, tags, settings, options)
    if as_json:
        print_json({"packages": [item.to_json() for item in plan.packages], "warnings": list(plan.warnings)})
    else:
        print_plan(plan)


def print_plan(plan: Plan) -> None:
    """Print a plan, one line a package, in the order in which they will be built."""
    print_warnings(plan.warnings)
    width = max((len(item.package.reference.familiar) for item in plan.packages), default=0)
    for item in plan.packages:
        click.echo(f"{item.package.reference.familiar:<{width}}  {item.why()}")
