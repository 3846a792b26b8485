"""farm push, plan and manifest: what is missing is built, published and signed."""

from __future__ import annotations

import time
from types import MappingProxyType
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
from farm.cli.output import print_answer, print_error, print_json, print_warnings, say
from farm.errors import FarmError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from farm.model import ArchImage
    from farm.package.tags import TagOptions
    from farm.planning.forecast import Outlook
    from farm.planning.plan import Plan, PushOptions
    from farm.settings import Settings


_SETTINGS = (
    "org",
    "include_ignored",
    "arches",
    "sign",
    "broker",
    "engine",
    "build_args",
    "notary_server",
    "notary_ca",
    "signing_key",
    "cosign_key",
)
_queue_anyway = click.option(
    "--queue-anyway", is_flag=True, help="Submit even if an architecture has no worker."
)


@click.command("push")
@click.argument("directories", nargs=-1, required=True, metavar="DIR...")
@with_settings(*_SETTINGS)
@package_options
@build_and_publish_options
@click.option("--detach", is_flag=True, help="Submit the run, print its name, and exit.")
@click.option(
    "--priority",
    type=click.Choice(["high", "normal", "low"]),
    default="normal",
    show_default=True,
    help="high gets four times, low a quarter of the workers that other runs get.",
)
@click.option(
    "--once",
    default="",
    metavar="KEY",
    help="Submit one run under this key: the same command again follows that run.",
)
@_queue_anyway
@json_option
def push(
    settings: Settings,
    directories: tuple[str, ...],
    tags: TagOptions,
    options: PushOptions,
    detach: bool,
    priority: str,
    once: str,
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
    plan = prepare(directories, tags, settings, options, to_push=True)
    return push_plan(
        plan,
        settings,
        started,
        partial=options.partial,
        detach=detach,
        priority=priority,
        once=once,
        queue_anyway=queue_anyway,
        as_json=as_json,
    )


@click.command("plan")
@click.argument("directories", nargs=-1, required=True, metavar="DIR...")
@with_settings(*_SETTINGS, sign="show what a push would sign")
@package_options
@build_and_publish_options
@_queue_anyway
@json_option
def plan(
    settings: Settings,
    directories: tuple[str, ...],
    tags: TagOptions,
    options: PushOptions,
    queue_anyway: bool,
    as_json: bool,
) -> int:
    """Show what `farm push` would do for these packages, and why; then what it would refuse. Changes nothing.

    Exits with the code of that push if it would be refused.
    """
    from farm.planning.prepare_plan import prepare

    made = prepare(directories, tags, settings, options)
    return print_plan(made, settings, queue_anyway=queue_anyway, as_json=as_json)


def print_plan(plan: Plan, settings: Settings, *, queue_anyway: bool = False, as_json: bool = False) -> int:
    """Print a plan, one line a package, in the order in which they will be built; returns the exit code."""
    plan, ahead = _look_ahead(plan, settings, queue_anyway=queue_anyway)
    if as_json:
        data = [item.to_json() for item in plan.packages]
        refusals = [error.to_json() for error in plan.refusals]
        found = {"waves": ahead.waves, "criticalPath": ahead.critical_path, "expectedSeconds": ahead.seconds}
        print_json({"packages": data, **found, "warnings": list(plan.warnings), "refusals": refusals})
    else:
        print_warnings(plan.warnings)
        width = max((len(item.package.reference.familiar) for item in plan.packages), default=0)
        for item in plan.packages:
            say(f"{item.package.reference.familiar:<{width}}  {item.why()}")
        _print_outlook(ahead)
    if not plan.refusal:
        return 0
    # Not raised, since the JSON holds the errors already.
    print_error(plan.refusal)
    return plan.refusal.exit_code


def _print_outlook(ahead: Outlook) -> None:
    from farm.planning.forecast import sequence
    from farm.syntax.quantities import format_duration

    if len(ahead.waves) > 1:
        sizes = ", ".join(str(len(wave)) for wave in ahead.waves)
        say(f"{len(ahead.waves)} waves of builds: {sizes}; critical path: {sequence(ahead.critical_path)}")
    if ahead.seconds is not None and ahead.waves:
        at = time.strftime("%H:%M", time.localtime(time.time() + ahead.seconds))
        say(f"expected to take about {format_duration(ahead.seconds)}, until {at}, if no other run waits")


def _look_ahead(plan: Plan, settings: Settings, *, queue_anyway: bool) -> tuple[Plan, Outlook]:
    """The plan with the refusal for want of workers, and what a push of it will do.

    The workers of a private farm start with the push.
    """
    from farm.planning.forecast import outlook

    if settings.broker is None or plan.up_to_date:
        return plan, outlook(plan, None, {})
    from farm.planning.expectations import read_expectations
    from farm.private_farm.connect import require_workers
    from farm.state.workers import slots_of, workers

    images = [(item.package.reference.name, arch) for item in plan.work for arch in item.build]
    try:
        with attached(settings) as (connected, store):
            ahead = outlook(plan, read_expectations(store, images), slots_of(workers(store)))
            if not queue_anyway:
                require_workers(connected, store, plan.queues)
    except FarmError as error:
        if queue_anyway:
            return plan, outlook(plan, None, {})
        return plan._replace(refusals=(*plan.refusals, error)), outlook(plan, None, {})
    return plan, ahead


@click.command("manifest")
@click.argument("directories", nargs=-1, required=True, metavar="DIR...")
@with_settings(
    "org", "include_ignored", "arches", "sign", "broker", "notary_server", "notary_ca", "signing_key"
)
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
    expected: Mapping[str, Collection[ArchImage]] = MappingProxyType({}),
    *,
    as_json: bool = False,
) -> int:
    """Publish the indexes of images that exist; returns the exit code.

    `expected` are images that this user has just pushed, by package: they are adopted.
    """
    from farm.planning.prepare_plan import plan_existing_images

    started = time.monotonic()
    plan = plan_existing_images(directories, tags, settings, options, expected, to_push=True)
    return push_plan(plan, settings, started, partial=options.partial, as_json=as_json)


def push_plan(
    plan: Plan,
    settings: Settings,
    started: float,
    *,
    partial: bool = False,
    detach: bool = False,
    priority: str = "normal",
    once: str = "",
    queue_anyway: bool = False,
    as_json: bool = False,
) -> int:
    """Submit a plan and follow its run, or report that there is nothing to do; returns the exit code.

    `started` is when the command started, by time.monotonic().
    """
    print_warnings(plan.warnings)
    if plan.refusal:
        raise plan.refusal
    if plan.up_to_date:
        _print_nothing_to_do(plan, time.monotonic() - started, as_json=as_json)
        return 0
    from farm.private_farm.connect import require_workers, want_workers

    with attached(settings, builds=True) as (connected, store):
        if not queue_anyway:
            want_workers(connected)
        # Not before: a private farm starts meanwhile.
        from farm.cli.follow import follow
        from farm.model import RunPriority
        from farm.scheduling.submission import submit

        if not queue_anyway:
            require_workers(connected, store, plan.queues)
        run = submit(plan, connected, store, partial=partial, priority=RunPriority(priority), once=once)
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
