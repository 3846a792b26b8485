"""farm plan: what a push would do, and why."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from farm.cli.options import json_option, package_options, print_json, with_settings
from farm.cli.push_options import Wishes, wish_options

if TYPE_CHECKING:
    from farm.package.tag_options import TagOptions
    from farm.planning.plan import Plan
    from farm.settings import Settings


@click.command("plan")
@click.argument("directories", nargs=-1, required=True, metavar="DIR...")
@with_settings("org", "arches", "sign", "notary_server", "notary_ca", sign="see what a push would sign")
@package_options
@wish_options
@json_option
def command(
    settings: Settings, directories: tuple[str, ...], tags: TagOptions, wishes: Wishes, as_json: bool
) -> None:
    """Show what `farm push` would do for these packages, and why. Changes nothing."""
    from farm.planning.prepare import prepare  # noqa: PLC0415 - the registry client is imported when it is used

    plan = prepare(directories, tags, settings, wishes.to_wish(settings))
    if as_json:
        print_json({"packages": [item.to_json() for item in plan.packages], "warnings": list(plan.warnings)})
    else:
        show_plan(plan)


def show_plan(plan: Plan) -> None:
    """Print a plan, a line for each package, in the order in which they will be done."""
    for warning in plan.warnings:
        click.echo(f"warning: {warning}", err=True)
    width = max((len(item.package.reference.familiar) for item in plan.packages), default=0)
    for item in plan.packages:
        click.echo(f"{item.package.reference.familiar:<{width}}  {item.why()}")
