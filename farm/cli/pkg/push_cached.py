"""`push --nobuild`: the images that the LinuxKit cache has are pushed as they are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from farm.errors import CacheError
from farm.model import ARCHES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from farm.cache.layout import Cache
    from farm.model import ArchImage, Package
    from farm.package.tag_options import TagOptions
    from farm.registry.client import Registry
    from farm.settings import Settings


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which images of the cache are wanted in the registry."""

    platforms: tuple[str, ...] = ()
    """Just these, and each must be in the one or the other; none stands for all."""
    skip: tuple[str, ...] = ()
    """None of these."""
    required: bool = False
    """Whether a package of which the cache has nothing is an error, since nothing else is pushed."""

    @property
    def arches(self) -> tuple[str, ...]:
        """The architectures to look for."""
        return tuple(arch for arch in self.platforms or ARCHES if arch not in self.skip)


def push_cached(
    settings: Settings, directories: Sequence[str], tags: TagOptions, wanted: Wanted, *, dry: bool
) -> dict[str, list[ArchImage]]:
    """Push each architecture's image that the cache has and the registry lacks.

    Args:
        settings: the cache, and how registries are reached.
        directories: of the packages.
        tags: how they are named.
        wanted: which images.
        dry: whether to push nothing, and only say what would be pushed.

    Returns:
        Package name to the images that were pushed, or would be.

    Raises:
        DirtyError: a package has uncommitted changes.
        CacheError: an image of the cache is damaged; or one that must be there is not, and nothing is pushed.
        RegistryError: the registry refuses one, or cannot be reached.
    """
    from farm.cache.layout import Cache  # noqa: PLC0415 - the registry client is imported when used
    from farm.cache.transfer import push_image  # noqa: PLC0415
    from farm.local_build.options import BuildOptions  # noqa: PLC0415
    from farm.package.read_packages import read_packages  # noqa: PLC0415
    from farm.planning.decide import refuse_unpushable  # noqa: PLC0415
    from farm.registry.connect import open_registry  # noqa: PLC0415

    packages = read_packages(directories, tags)
    refuse_unpushable(packages)
    left = BuildOptions(skip=wanted.skip)
    if wanted.required:
        for warning in left.skipped(packages, settings.arches):
            click.echo(f"warning: {warning}", err=True)
    packages = [package for package in packages if left.arches_of(package, settings.arches)]
    cache = Cache(settings.cache)
    with open_registry(settings) as registry:
        coming = {package.image: _coming(cache, registry, package, wanted) for package in packages}
        for image in (image for images in coming.values() for image in images):
            if not dry:
                push_image(cache, registry, image)
            click.echo(f"{image.reference.familiar}  {'push it' if dry else 'pushed'} from the cache")
    return coming


def _coming(cache: Cache, registry: Registry, package: Package, wanted: Wanted) -> list[ArchImage]:
    """The images of a package that the cache has and the registry lacks."""
    from farm.cache.named_images import find_image  # noqa: PLC0415 - the registry client is imported when used

    here = [image for arch in wanted.arches if (image := find_image(cache, package.reference, arch))]
    if wanted.required and not here:
        arches = ", ".join(wanted.arches)
        raise CacheError(f"{package.reference.familiar} is not in the cache {cache.root} for {arches}")
    coming = [image for image in here if registry.head(image.reference) is None]
    found = {image.arch for image in here}
    for target in (package.reference.for_arch(arch) for arch in wanted.platforms if arch not in found):
        if registry.head(target) is None:
            raise CacheError(f"{target.familiar} is neither in the cache {cache.root} nor in the registry")
    return coming
