"""What is published and signed: the registry and the signer are asked at the same time."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING

from farm.planning.plan import PublishedPackage
from farm.planning.push_options import PushOptions, arches_to_look_up, is_signed
from farm.registry.index import holds
from farm.registry.published_images import PublishedImages, look_up_all

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from farm.model import Package
    from farm.registry.client import Registry
    from farm.trust.signer import Signature, Signer


def look_up(
    packages: Sequence[Package], registry: Registry, signer: Callable[[], Signer], options: PushOptions
) -> dict[str, PublishedPackage]:
    """Package name to what is published and signed of it.

    Args:
        packages: what to look up.
        registry: the client.
        signer: returns the signer; called only if one of the packages is to be signed.
        options: what a push would do.

    Raises:
        RegistryError, TrustError: one of them cannot be asked, which never means that nothing is there.
    """
    arches = {package.reference: arches_to_look_up(package, options) for package in packages}
    names = sorted({package.reference.name for package in packages if is_signed(package, options)})
    with ThreadPoolExecutor(2) as pool:
        images = pool.submit(look_up_all, registry, arches)
        signed = pool.submit(signer().signed, names) if names else None
        published, signatures = images.result(), signed.result() if signed else {}
    found = {
        package.image: _published(
            package, published[package.reference], signatures.get(package.reference.name, {})
        )
        for package in packages
    }
    if not options.release:
        return found
    targets = [package.reference.with_tag(options.release) for package in packages]
    digests = [head.digest if head else None for head in registry.at_once(registry.head, targets)]
    return {
        package.image: replace(
            found[package.image],
            release_digest=digest,
            release_signed=_is_signed_as(digest, options.release, signatures.get(target.name, {})),
        )
        for package, target, digest in zip(packages, targets, digests, strict=True)
    }


def _published(
    package: Package, images: PublishedImages, signed: Mapping[str, Signature]
) -> PublishedPackage:
    index, descriptor = images.index, images.descriptor
    return PublishedPackage(
        images=images.images,
        index=descriptor,
        indexed_arches=frozenset(
            arch for arch, image in images.images.items() if index and holds(index, image)
        ),
        signed=_is_signed_as(descriptor.digest if descriptor else None, str(package.reference.tag), signed),
    )


def _is_signed_as(digest: str | None, tag: str, signed: Mapping[str, Signature]) -> bool:
    signature = signed.get(tag)
    return signature is not None and signature.digest == digest
