"""What stands already: one wave of look-ups at the registry and one at the notary server, at once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING

from farm.planning.decide import PushOptions, looked_for
from farm.planning.plan import Found
from farm.registry.index import holds
from farm.registry.published_images import PublishedImages, look_up_all

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from farm.model import Descriptor, Package
    from farm.registry.client import Registry
    from farm.trust.signer import Signature, Signer


def find(
    packages: Sequence[Package], registry: Registry, signer: Signer, wish: PushOptions
) -> dict[str, Found]:
    """Package name to what the registry and the notary server hold of it.

    Raises:
        RegistryError, TrustError: either cannot be asked; nothing may then be taken as missing.
    """
    to_sign = [package for package in packages if wish.sign and not package.yml.disable_content_trust]
    with ThreadPoolExecutor(2) as pool:
        images = pool.submit(
            look_up_all, registry, {package.reference: looked_for(package, wish) for package in packages}
        )
        names = sorted({package.reference.name for package in to_sign})
        signed = pool.submit(signer.signed, names)
        standing, signatures = images.result(), signed.result()
    found = {
        package.image: _found(
            package, standing[package.reference], signatures.get(package.reference.name, {})
        )
        for package in packages
    }
    if not wish.release:
        return found
    targets = [package.reference.with_tag(wish.release) for package in packages]
    heads = registry.at_once(registry.head, targets)
    return {
        package.image: _with_release(found[package.image], head, signatures.get(target.name, {}), wish)
        for package, target, head in zip(packages, targets, heads, strict=True)
    }


def _with_release(
    found: Found, head: Descriptor | None, signed: Mapping[str, Signature], wish: PushOptions
) -> Found:
    signature = signed.get(wish.release)
    digest = head.digest if head else None
    return replace(found, release=digest, release_signed=bool(signature and signature.digest == digest))


def _found(package: Package, standing: PublishedImages, signed: Mapping[str, Signature]) -> Found:
    index = standing.index
    signature = signed.get(str(package.reference.tag))
    return Found(
        images=standing.images,
        index=standing.descriptor,
        indexed=frozenset(arch for arch, image in standing.images.items() if index and holds(index, image)),
        signed=bool(signature and standing.descriptor and signature.digest == standing.descriptor.digest),
    )
