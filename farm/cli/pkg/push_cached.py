"""`push --nobuild`: push the images in the LinuxKit cache as they are."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from farm.cli.output import print_warnings
from farm.errors import CacheError
from farm.model import ARCHES

if TYPE_CHECKING:
    from farm.cache.layout import Cache
    from farm.cli.pkg.request import PkgRequest
    from farm.model import ArchImage, Package
    from farm.registry.client import Registry


def push_cached(request: PkgRequest) -> dict[str, list[ArchImage]]:
    """Push each architecture's image that the cache has and the registry lacks.

    Returns:
        Package name to the images that were pushed; with --dry-run, that would be.

    Raises:
        DirtyError: a package has uncommitted changes.
        CacheError: an image in the cache is damaged; or a required one is missing, and nothing is pushed.
        RegistryError: the registry refuses one, or cannot be reached.
    """
    from farm.cache.layout import Cache
    from farm.cache.transfer import push_image
    from farm.registry.client import open_registry

    packages = _read_pushable(request)
    cache, dry_run = Cache(request.settings.cache), request.flags.is_dry_run
    with open_registry(request.settings) as registry:
        to_push = {package.image: _to_push(request, cache, registry, package) for package in packages}
        for image in (image for images in to_push.values() for image in images):
            if not dry_run:
                push_image(cache, registry, image)
            click.echo(f"{image.reference.familiar}  {'push it' if dry_run else 'pushed'} from the cache")
    return to_push


def _read_pushable(request: PkgRequest) -> list[Package]:
    """The packages that may be pushed, without those of which all architectures are skipped."""
    from farm.local_build.options import BuildOptions
    from farm.package.read_packages import read_packages
    from farm.package.tags import require_committed

    packages, default_arches = read_packages(request.directories, request.tags), request.settings.arches
    for package in packages:
        require_committed(package)
    unskipped = BuildOptions(skip=request.skipped)
    if request.flags.manifest is False:
        print_warnings(unskipped.skipped(packages, default_arches))
    return [package for package in packages if unskipped.arches_of(package, default_arches)]


def _to_push(request: PkgRequest, cache: Cache, registry: Registry, package: Package) -> list[ArchImage]:
    """The images of a package that the cache has and the registry lacks.

    An image of --platforms must be in one of the two. With --manifest=false a package without any image in
    the cache is an error, since nothing would be published for it.
    """
    from farm.cache.named_images import find_image

    platforms, reference = request.platforms, package.reference
    arches = [arch for arch in platforms or ARCHES if arch not in request.skipped]
    cached = {arch: image for arch in arches if (image := find_image(cache, reference, arch))}
    if request.flags.manifest is False and not cached:
        raise CacheError(f"{reference.familiar} is not in the cache {cache.root} for {', '.join(arches)}")
    missing = [image for image in cached.values() if registry.head(image.reference) is None]
    for target in (reference.for_arch(arch) for arch in platforms if arch not in cached):
        if registry.head(target) is None:
            raise CacheError(f"{target.familiar} is neither in the cache {cache.root} nor in the registry")
    return missing
