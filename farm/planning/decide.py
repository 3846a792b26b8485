"""From what was asked and what is published to what is left to do: pure functions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from farm.errors import InputError
from farm.graph.order import in_order
from farm.planning.plan import PackagePlan, Plan, PublishedPackage, PushOptions, arches_of, is_signed

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from farm.model import Package


def make_plan(
    packages: Sequence[Package],
    published: Mapping[str, PublishedPackage],
    needs: Mapping[str, Sequence[str]],
    options: PushOptions,
    warnings: Sequence[str] = (),
) -> Plan:
    """Decide what is left to do; `published` and `needs` (other packages) are by package name.

    Raises:
        InputError: packages depend on one another in a cycle, a package is built for none of the
            architectures, or its release tag refers to another index.
    """
    by_name = {package.image: package for package in packages}
    plans: dict[str, PackagePlan] = {}
    skipped: list[str] = []
    for name in in_order(by_name, needs):
        package = by_name[name]
        arches = arches_of(package, options)
        if not arches and not (package.has_no_arches and options.every_image):
            if not options.skip and not package.has_no_arches:
                raise InputError(f"{package.directory}: is built for none of {', '.join(options.only)}")
            skipped.append(package.why_skipped)
            continue
        waits = tuple(need for need in needs.get(name, ()) if need in plans and not plans[need].up_to_date)
        plans[name] = PackagePlan(
            package,
            arches,
            published.get(name, PublishedPackage()),
            is_signed(package, options),
            waits,
            options.force,
            options.release,
            options.images_only,
            options.adopt,
        )
    _refuse_taken_releases(plans.values(), options.release)
    _refuse_unpublished_bases(plans, published, needs, options)
    return Plan(tuple(plans.values()), (*warnings, *skipped))


def _refuse_taken_releases(plans: Iterable[PackagePlan], release: str) -> None:
    taken = [plan.package.reference.with_tag(release).familiar for plan in plans if plan.release_taken]
    if taken:
        refer = "already refers to another index" if len(taken) == 1 else "already refer to other indexes"
        raise InputError(
            f"{', '.join(taken)} {refer}; nothing is released", hint="choose another name for the release"
        )


def _refuse_unpublished_bases(
    plans: Mapping[str, PackagePlan],
    published: Mapping[str, PublishedPackage],
    needs: Mapping[str, Sequence[str]],
    options: PushOptions,
) -> None:
    """Refuse to build a package from another one whose index lacks images and is not made by the run."""
    for name, plan in plans.items():
        for need in needs.get(name, ()):
            indexed = published.get(need, PublishedPackage()).indexed_arches
            made = need in plans and not options.images_only
            if not made and (lacking := [arch for arch in plan.build if arch not in indexed]):
                raise InputError(
                    f"{name}: base image {need} is not published for {', '.join(lacking)}, and its index is "
                    "not part of this run",
                    hint=f"push {need} first, with its index",
                )
