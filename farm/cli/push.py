"""farm push, plan and manifest: what is missing is built, published and signed."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click

from farm.cli.options import (
    attached,
    build_and_publish_options,
    json_option,
    package_options,
    publish_options,
    tag_options,
    with_settings,
)
from farm.cli.output import print_answer, print_json, print_warnings

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
def push(
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


@click.command("plan")
@click.argument("directories", nargs=-1, required=True, metavar="DIR...")
@with_settings("org", "arches", "sign", "notary_server", "notary_ca", sign="show what a push would sign")
@package_options
@build_and_publish_options
@json_option
def plan(
    settings: Settings, directories: tuple[str, ...], tags: TagOptions, options: PushOptions, as_json: bool
) -> None:
    """Show what `farm push` would do for these packages, and why. Changes nothing."""
    from farm.planning.prepare_plan import prepare

    made = prepare(directories, tags, settings, options)
    if as_json:
        print_json({"packages": [item.to_json() for item in made.packages], "warnings": list(made.warnings)})
        return
    print_plan(made)


def print_plan(plan: Plan) -> None:
    """Print a plan, one line a package, in the order in which they will be built."""
    print_warnings(plan.warnings)
    width = max((len(item.package.reference.familiar) for item in plan.packages), default=0)
    for item in plan.packages:
        click.echo(f"{item.package.reference.familiar:<{width}}  {item.why()}")


@click.command("manifest")
@click.argument("directories", nargs=-1, required=True, metavar="DIR...")
@with_settings("org", "arches", "sign", "broker", "notary_server", "notary_ca", "signing_key")
@tag_options
@publish_options
@json_option
def manifest(
    settings: Settings, directories: tuple[str, ...], tags: TagOptions, options: PushOptions, as_json: bool
) -> int:
    """Publish and sign the index of each package's existing NAME:HASH-ARCH images. Builds nothing.

    Includes images of architectures that build.yml does not list.
    """
    return publish_existing_images(settings, directories, tags, options, as_json=as_json)


def publish_existing_images(
    settings: Settings,
    directories: tuple[str, ...],
    tags: TagOptions,
    options: PushOptions,
    *,
    as_json: bool = False,
) -> int:
    """Publish the indexes of images that exist; returns the exit code."""
    from farm.planning.prepare_plan import plan_existing_images

    started = time.monotonic()
    plan = plan_existing_images(directories, tags, settings, options)
    return push_plan(plan, settings, started, partial=options.partial, as_json=as_json)


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
        _print_nothing_to_do(plan, time.monotonic() - started, as_json=as_json)
        return 0
    from farm.cli.follow import follow
    from farm.private_farm.connect import require_workers
    from farm.scheduling.submission import submit

    with attached(settings, builds=True) as (connected, store):
        if not queue_anyway:
            require_workers(connected, store, plan.queues)
        run = submit(plan, connected, store, partial=partial)
        up_to_date = tuple(item for item in plan.packages if item.up_to_date)
        return follow(run, up_to_date=up_to_date, detach=detach, as_json=as_json)


def _print_nothing_to_do(plan: Plan, seconds: float, *, as_json: bool) -> None:
    digests = [item.published.index.digest if item.published.index else "" for item in plan.packages]
    lines = [
        f"{item.package.reference.familiar}  {item.why()}  {digest}"
        for item, digest in zip(plan.packages, digests, strict=True)
    ]
    data = {"run": None, "state": "done", "packages": [item.to_json() for item in plan.packages]}
    print_answer(data, [*lines, f"nothing to do, found in {seconds:.2f} s"], as_json=as_json)
