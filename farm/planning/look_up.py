"""What is published and signed of packages."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from typing import TYPE_CHECKING

from farm.model import ARCHES
from farm.planning.overwritten_tags import find_overwritten
from farm.planning.plan import PublishedPackage, PushOptions, arches_of, is_signed
from farm.registry.client import open_registry
from farm.registry.index import holds
from farm.registry.published_images import PublishedImages, look_up_all
from farm.trust.attested_builds import ImageOrigin
from farm.trust.existing_images import Candidates, choose_all, same_image
from farm.trust.places import current_policy
from farm.trust.signer import make_signer

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from farm.errors import TagOverwrittenError
    from farm.model import ArchImage, Descriptor, Package, Reference
    from farm.registry.client import Registry
    from farm.settings import Settings
    from farm.trust.policy import Policy
    from farm.trust.signer import SignedName


def look_up(
    packages: Sequence[Package], settings: Settings, options: PushOptions
) -> dict[str, PublishedPackage]:
    """Package name to what is published and signed of it.

    Registry and signer are asked at the same time. The signer is made only if it is needed.

    Raises:
        RegistryError, TrustError: one of them cannot be asked, which never means that nothing is there.
    """
    policy = current_policy(settings)
    more = ARCHES if options.every_image else ()
    # Of a package that is skipped, others may need the existing images.
    arches = {
        one.reference: tuple(dict.fromkeys((*arches_of(one, options), *more))) or ARCHES for one in packages
    }
    signed_ones = [package.reference for package in packages if is_signed(package, options)]
    asked = [one.with_tag(tag) for one in signed_ones for tag in (one.tag, options.release) if tag]
    with open_registry(settings) as registry, ThreadPoolExecutor(2) as pool:
        images = pool.submit(look_up_all, registry, arches)
        signer = make_signer(settings, registry) if asked else None
        signed = pool.submit(signer.signed, asked) if signer else None
        published, signatures = images.result(), signed.result() if signed else {}
        trusted = _trusted(packages, published, signatures, registry, policy)
        targets = [package.reference.with_tag(options.release) for package in packages if options.release]
        releases = registry.at_once(registry.head, targets) if targets else [None] * len(packages)
        tags = {
            one.image: _tags(one, published[one.reference], trusted[one.reference], options)
            for one in packages
        }
        wrong = find_overwritten(registry, signer, chain(*tags.values()), signatures) if signer else {}
    return {
        package.image: _published(
            published[package.reference],
            trusted[package.reference],
            signatures.get(package.reference.name),
            package,
            options,
            release,
            tuple(wrong[tag] for tag in tags[package.image] if tag in wrong),
        )
        for package, release in zip(packages, releases, strict=True)
    }


def _tags(
    package: Package, found: PublishedImages, trusted: Mapping[str, ArchImage], options: PushOptions
) -> tuple[Reference, ...]:
    """The tags of a package that a push reads or replaces, and somebody else may have overwritten.

    An index whose images all count is one that a publisher pushed and did not come to sign.
    """
    own = package.reference
    counted = {one.digest for image in trusted.values() for one in image.descriptors}
    honest = found.index and {one.digest for one in found.index.manifests} <= counted
    release = (own.with_tag(options.release),) if options.release else ()
    return (*(() if honest else (own,)), *release, *(own.for_arch(arch) for arch in found.images))


def _published(
    images: PublishedImages,
    trusted: dict[str, ArchImage],
    signing: SignedName | None,
    package: Package,
    options: PushOptions,
    release: Descriptor | None,
    wrong: tuple[TagOverwrittenError, ...],
) -> PublishedPackage:
    known = images.images | trusted
    held = (arch for arch, image in known.items() if images.index and holds(images.index, image))
    return PublishedPackage(
        images=trusted,
        unattested={arch: image for arch, image in images.images.items() if arch not in trusted},
        index=images.descriptor,
        indexed_arches=frozenset(held),
        signed=_is_signed_as(signing, images.descriptor, package.reference.tag),
        release_digest=release.digest if release else None,
        release_signed=_is_signed_as(signing, release, options.release),
        signing=signing,
        overwritten=wrong,
    )


def _is_signed_as(signing: SignedName | None, descriptor: Descriptor | None, tag: str | None) -> bool:
    signature = signing.tags.get(str(tag)) if signing else None
    return bool(signature and descriptor and signature.digest == descriptor.digest)


def _trusted(
    packages: Iterable[Package],
    published: Mapping[Reference, PublishedImages],
    signatures: Mapping[str, SignedName],
    registry: Registry,
    policy: Policy,
) -> dict[Reference, dict[str, ArchImage]]:
    """Architecture to the image that counts, as a publisher would choose it."""
    trusted: dict[Reference, dict[str, ArchImage]] = {package.reference: {} for package in packages}
    unknown: list[Candidates] = []
    for package in packages:
        found, signing = published[package.reference], signatures.get(package.reference.name)
        signed = _is_signed_as(signing, found.descriptor, package.reference.tag)
        origin = ImageOrigin(package.reference, package.tree)
        for arch, image in found.images.items():
            indexed = found.indexed(arch)
            if signed and indexed and same_image(image, indexed):
                trusted[package.reference][arch] = indexed
            else:
                unknown.append(Candidates(origin, (image,), indexed, signed=signed))
    for candidates, chosen in choose_all(registry, policy, unknown):
        trusted[candidates.origin.reference][chosen.arch] = chosen
    return trusted
