"""A plan that builds nothing: publish the index of the images that exist."""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING

from farm.errors import InputError
from farm.model import ARCHES
from farm.planning.prepare_plan import prepare

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from farm.model import ArchImage
    from farm.package.tag_options import TagOptions
    from farm.planning.plan import PackagePlan, Plan
    from farm.planning.push_options import PushOptions
    from farm.settings import Settings


def plan_existing_images(
    directories: Sequence[str],
    tags: TagOptions,
    settings: Settings,
    options: PushOptions,
    expected: Mapping[str, Collection[ArchImage]] = MappingProxyType({}),
) -> Plan:
    """The plan that publishes the existing images of these packages, and builds none.

    Args:
        directories: the package directories.
        tags: how the packages are tagged.
        settings: how the registry and the notary server are reached.
        options: the options of the push; without `only`, images of all architectures are looked up.
        expected: package name to images that will exist when the plan is carried out.

    Raises:
        InputError: a package lacks an image, and its index would be partial or empty.
        RegistryError, TrustError: the registry or the notary server cannot be asked.
    """
    plan = prepare(directories, tags, settings, replace(options, every_image=not options.only))
    items = (_with_images(item, expected.get(item.package.image, ())) for item in plan.packages)
    return without_builds(replace(plan, packages=tuple(items)), partial=options.partial)


def _with_images(item: PackagePlan, images: Collection[ArchImage]) -> PackagePlan:
    existing = item.published.images | {image.arch: image for image in images}
    return replace(item, published=replace(item.published, images=existing))


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
                hint="build it with farm push, or publish without it: --partial",
            )
    kept = (replace(item, arches=_in_order(item.published.images), needs=()) for item in items)
    return replace(plan, packages=tuple(kept))


def _in_order(arches: Collection[str]) -> tuple[str, ...]:
    return tuple(arch for arch in ARCHES if arch in arches)
