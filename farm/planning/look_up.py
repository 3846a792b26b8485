"""What is published and signed of packages."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import chain
from typing import TYPE_CHECKING

from farm.model import ARCHES
from farm.planning.look_up_images import WantedImages, look_up_images
from farm.planning.overwritten_tags import find_overwritten
from farm.planning.plan import PublishedPackage, PushOptions, arches_of, is_signed
from farm.registry.client import open_registry
from farm.registry.index import holds
from farm.registry.published_images import read_indexes
from farm.system.at_once import at_once
from farm.trust.attested_builds import ImageOrigin
from farm.trust.signer import make_signer

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from farm.errors import TagOverwrittenError
    from farm.model import Descriptor, Package, Reference
    from farm.planning.look_up_images import FoundImages
    from farm.registry.published_images import FoundIndex
    from farm.settings import Settings
    from farm.trust.policy import Policy
    from farm.trust.signer import SignedName


def look_up(
    packages: Sequence[Package], settings: Settings, options: PushOptions
) -> dict[str, PublishedPackage]:
    """Package name to what is published and signed of it.

    Registry and signer are asked at the same time. The signer is made only if it is needed. Of a package
    whose index is signed and complete, its architecture tags are not looked at.

    Raises:
        RegistryError, TrustError: one of them cannot be asked, which never means that nothing is there.
    """
    more = ARCHES if options.every_image else ()
    # Of a package that is skipped, others may need the existing images.
    arches = {
        one.reference: tuple(dict.fromkeys((*arches_of(one, options), *more))) or ARCHES for one in packages
    }
    signed_ones = [package.reference for package in packages if is_signed(package, options)]
    asked = [one.with_tag(tag) for one in signed_ones for tag in (one.tag, options.release) if tag]
    with open_registry(settings, cached=True) as registry, ThreadPoolExecutor(2) as pool:
        indexes = pool.submit(read_indexes, registry, arches)
        signer = make_signer(settings, registry) if asked else None
        signed = pool.submit(signer.signed, asked) if signer else None
        found, signatures = indexes.result(), signed.result() if signed else {}
        images = look_up_images(
            registry, cache(lambda: _policy(settings)), _wanted(packages, arches, found, signatures)
        )
        targets = [package.reference.with_tag(options.release) for package in packages if options.release]
        releases = at_once(registry.head, targets) if targets else [None] * len(packages)
        tags = {
            one.image: _tags(one, images[one.reference], arches[one.reference], options) for one in packages
        }
        wrong = find_overwritten(registry, signer, chain(*tags.values()), signatures) if signer else {}
    return {
        package.image: _published(
            images[package.reference],
            signatures.get(package.reference.name),
            package,
            options,
            release,
            tuple(wrong[tag] for tag in tags[package.image] if tag in wrong),
        )
        for package, release in zip(packages, releases, strict=True)
    }


def _policy(settings: Settings) -> Policy:
    from farm.trust.places import current_policy  # noqa: PLC0415 - a push with nothing to do reads no policy

    return current_policy(settings)


def _wanted(
    packages: Sequence[Package],
    arches: Mapping[Reference, Sequence[str]],
    indexes: Mapping[Reference, FoundIndex],
    signatures: Mapping[str, SignedName],
) -> list[WantedImages]:
    return [
        WantedImages(
            ImageOrigin(package.reference, package.tree),
            tuple(arches[package.reference]),
            *indexes[package.reference],
            signed=_is_signed_as(
                signatures.get(package.reference.name), indexes[package.reference][1], package.reference.tag
            ),
        )
        for package in packages
    ]


def _tags(
    package: Package, found: FoundImages, arches: Sequence[str], options: PushOptions
) -> tuple[Reference, ...]:
    """The tags of a package that may be signed, and that somebody else may have overwritten.

    An index whose images all count is one that a publisher pushed and did not come to sign.
    """
    own = package.reference
    counted = {one.digest for image in found.trusted.values() for one in image.descriptors}
    honest = found.index and {one.digest for one in found.index.manifests} <= counted
    release = (own.with_tag(options.release),) if options.release else ()
    return (*(() if honest else (own,)), *release, *(own.for_arch(arch) for arch in arches))


def _published(
    found: FoundImages,
    signing: SignedName | None,
    package: Package,
    options: PushOptions,
    release: Descriptor | None,
    wrong: tuple[TagOverwrittenError, ...],
) -> PublishedPackage:
    known = found.tagged | found.trusted
    held = (arch for arch, image in known.items() if found.index and holds(found.index, image))
    return PublishedPackage(
        images=found.trusted,
        unattested={arch: image for arch, image in found.tagged.items() if arch not in found.trusted},
        index=found.descriptor,
        indexed_arches=frozenset(held),
        signed=_is_signed_as(signing, found.descriptor, package.reference.tag),
        release_digest=release.digest if release else None,
        release_signed=_is_signed_as(signing, release, options.release),
        signing=signing,
        overwritten=wrong,
    )


def _is_signed_as(signing: SignedName | None, descriptor: Descriptor | None, tag: str | None) -> bool:
    signature = signing.tags.get(str(tag)) if signing else None
    return bool(signature and descriptor and signature.digest == descriptor.digest)
