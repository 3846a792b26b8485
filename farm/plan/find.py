"""What stands already: one wave of look-ups at the registry and one at the notary server, at once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from farm.plan.make import Wish, arches_of
from farm.plan.model import Found
from farm.registry.images import Standing, sweep
from farm.registry.index import platforms
from farm.trust.configure import notary_server
from farm.trust.verify import Signed, require_initialised, signed_digests

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from farm.model import Package
    from farm.registry.client import Registry
    from farm.settings import Settings


def find(packages: Sequence[Package], registry: Registry, settings: Settings, wish: Wish) -> dict[str, Found]:
    """Package name to what the registry and the notary server hold of it.

    Raises:
        RegistryError, TrustError: either cannot be asked; nothing may then be taken as missing.
    """
    to_sign = [package for package in packages if wish.sign and not package.yml.disable_content_trust]
    with ThreadPoolExecutor(2) as pool:
        images = pool.submit(sweep, registry, {package.reference: arches_of(package, wish) for package in packages})
        names = sorted({package.reference.name for package in to_sign})
        signed = pool.submit(_signed, names, registry, settings)
        standing, signatures = images.result(), signed.result()
    return {
        package.image: _found(package, standing[package.reference], signatures.get(package.reference.name, {}), wish)
        for package in packages
    }


def _signed(names: Sequence[str], registry: Registry, settings: Settings) -> dict[str, dict[str, Signed]]:
    return signed_digests(names, notary_server(settings), login_for=registry.credentials.login_for) if names else {}


def _found(package: Package, standing: Standing, signed: Mapping[str, Signed], wish: Wish) -> Found:
    arches = arches_of(package, wish)
    indexed = platforms(standing.index) if standing.index else frozenset()
    signature = signed.get(str(package.reference.tag))
    return Found(
        images={arch: image for arch, image in standing.images.items() if arch in arches},
        index=standing.descriptor,
        indexed=frozenset(indexed) & set(arches),
        signed=bool(signature and standing.descriptor and signature.digest == standing.descriptor.digest),
    )
