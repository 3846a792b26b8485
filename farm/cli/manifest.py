"""farm manifest: publish and sign the index of images that stand in the registry."""

from __future__ import annotations

import time
from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING

import click

from farm.cli.options import json_option, tag_options, with_settings
from farm.cli.push import carry_out, say_nothing_to_do
from farm.cli.push_options import Wishes, publish_options
from farm.errors import InputError
from farm.model import ARCHES

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from farm.model import ArchImage
    from farm.package.tag_options import TagOptions
    from farm.planning.plan import PackagePlan, Plan
    from farm.settings import Settings


@click.command("manifest")
@click.argument("directories", nargs=-1, required=True, metavar="DIR...")
@with_settings("org", "arches", "sign", "broker", "notary_server", "notary_ca", "signing_key")
@tag_options
@publish_options
@json_option
def command(
    settings: Settings, directories: tuple[str, ...], tags: TagOptions, wishes: Wishes, as_json: bool
) -> int:
    """Publish each package's index from the NAME:HASH-ARCH images that stand, and sign it. Builds nothing.

    Images of further architectures, which somebody added since, are taken in too.
    """
    return publish(directories, tags, settings, wishes, as_json=as_json)


def publish(
    directories: tuple[str, ...], tags: TagOptions, settings: Settings, wishes: Wishes, *, as_json: bool
) -> int:
    """Publish what stands of these packages; returns the exit code."""
    begun = time.monotonic()
    plan = standing(directories, tags, settings, wishes)
    if plan.up_to_date:
        for warning in plan.warnings:
            click.echo(f"warning: {warning}", err=True)
        return say_nothing_to_do(plan, as_json=as_json, seconds=time.monotonic() - begun)
    return carry_out(
        plan, settings, partial=wishes.partial, detach=False, queue_anyway=False, as_json=as_json
    )


def standing(
    directories: tuple[str, ...],
    tags: TagOptions,
    settings: Settings,
    wishes: Wishes,
    coming: Mapping[str, Collection[ArchImage]] = MappingProxyType({}),
) -> Plan:
    """The plan to publish what stands of these packages.

    Args:
        directories: of the packages.
        tags: how they are named.
        settings: how the registry and the notary server are reached.
        wishes: what is wished for beyond them.
        coming: package name to images that will stand by then.

    Raises:
        InputError: a package lacks an image, and its index would be partial or empty.
        RegistryError, TrustError: what stands cannot be found out.
    """
    from farm.planning.prepare import prepare  # noqa: PLC0415 - the registry client is imported when it is used

    wish = replace(wishes.to_wish(settings), every_image=not wishes.only)
    plan = prepare(directories, tags, settings, wish)
    items = (_with_images(item, coming.get(item.package.image, ())) for item in plan.packages)
    return without_builds(replace(plan, packages=tuple(items)), partial=wishes.partial)


def _with_images(item: PackagePlan, coming: Collection[ArchImage]) -> PackagePlan:
    images = item.published.images | {image.arch: image for image in coming}
    return replace(item, published=replace(item.published, images=images))


def without_builds(plan: Plan, *, partial: bool) -> Plan:
    """The same plan with nothing to build.

    Raises:
        InputError: a package lacks an image, and its index would be partial or empty.
    """
    items = [replace(item, force=False) for item in plan.packages]
    for item in items:
        if not item.published.images or (item.build and not partial):
            raise InputError(
                f"{item.package.reference.familiar}: no image for {', '.join(item.build)}",
                hint="farm push builds it; --partial publishes what stands",
            )
    kept = (replace(item, arches=_in_order(item.published.images), needs=()) for item in items)
    return replace(plan, packages=tuple(kept))


def _in_order(arches: Collection[str]) -> tuple[str, ...]:
    return tuple(arch for arch in ARCHES if arch in arches)
