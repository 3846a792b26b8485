"""The base images of the farm's own: an order says what each must be, so that nobody slips in another one.

Other base images are built from as they are named; the attestation records what they were.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from farm.errors import AttestationError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from farm.model import Package, Reference
    from farm.package.dockerfile import BaseImage
    from farm.planning.plan import PackagePlan, Plan


def related_bases(packages: Sequence[Package], bases: Mapping[str, Sequence[BaseImage]]) -> list[Reference]:
    """The bases in the organisations of these packages that are named by tag, and made by no other of them.

    A package may be built from what its own tag refers to.
    """
    organisations = {_organisation(package.reference) for package in packages}
    made = {package.reference: package.image for package in packages}
    found = ((base.reference, image) for image, each in bases.items() for base in each)
    return [
        one
        for one, image in dict.fromkeys(found)
        if made.get(one, image) == image and not one.digest and _organisation(one) in organisations
    ]


def _organisation(reference: Reference) -> str:
    return reference.name.rpartition("/")[0]


def with_bases(
    plan: Plan, bases: Mapping[str, Sequence[BaseImage]], digests: Mapping[Reference, str]
) -> Plan:
    """The plan with what the bases of its packages must be.

    A package of the plan is known by its index if that is signed and complete, or else by its tree, and its
    images that exist by their digests, since they may count without an attestation. Every other image is
    known by the digest that its tag has now, or that its Dockerfile names.
    """
    made = {item.package.reference: item for item in plan.packages}

    def pinned(base: Reference, of: PackagePlan) -> list[str]:
        item = made.get(base)
        if item is None or item is of:
            return [base.digest or digests.get(base, "")]
        index = item.published.index
        if index and item.published.signed and item.up_to_date:
            return [index.digest]
        return [item.package.tree, *_existing(item)]

    def with_own(item: PackagePlan) -> PackagePlan:
        references = dict.fromkeys(base.reference for base in bases.get(item.package.image, ()))
        pairs = ((str(one), must_be) for one in references for must_be in pinned(one, item))
        return replace(item, bases=tuple((name, must_be) for name, must_be in pairs if must_be))

    return plan._replace(packages=tuple(map(with_own, plan.packages)))


def _existing(item: PackagePlan) -> list[str]:
    """The digests of the images of a package that are not built."""
    kept = (image for arch, image in item.images.items() if arch not in item.build)
    return [one.digest for image in kept for one in image.descriptors]


def foreign_base(base: Reference, *, may_be_signed: bool) -> AttestationError:
    """The error for a base image in the organisation that somebody else has made."""
    what = f"no authorised worker attests the base image {base.familiar}"
    if not may_be_signed:
        return AttestationError(
            what, hint="push it with farm, or accept what the tag refers to, and all other images: --adopt"
        )
    return AttestationError(
        f"{what}, and it is not signed",
        hint=f"push it with farm, or accept what the tag refers to: farm sign --adopt {base.familiar}",
    )
