"""`push --nobuild`: the images that the LinuxKit cache has are pushed as they are."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from farm.errors import CacheError
from farm.model import ARCHES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from farm.model import ArchImage, Package
    from farm.package.read import TagOptions
    from farm.settings import Settings


def push_cached(settings: Settings, directories: Sequence[str], tags: TagOptions, *, required: bool) -> None:
    """Push each architecture's image that the cache has and the registry lacks.

    Args:
        settings: the cache, and how registries are reached.
        directories: of the packages.
        tags: how they are named.
        required: whether a package of which the cache has nothing is an error.

    Raises:
        DirtyError: a package has uncommitted changes.
        CacheError: an image of the cache is damaged, or none is there.
        RegistryError: the registry refuses one, or cannot be reached.
    """
    from farm.cache.images import find_image  # noqa: PLC0415 - the registry client is imported when used
    from farm.cache.layout import Cache  # noqa: PLC0415
    from farm.cache.transfer import push_image  # noqa: PLC0415
    from farm.package.read import read_packages  # noqa: PLC0415
    from farm.plan.make import refuse_unpushable  # noqa: PLC0415
    from farm.plan.prepare import open_registry  # noqa: PLC0415

    packages = read_packages(directories, tags)
    refuse_unpushable(packages)
    cache = Cache(settings.cache)

    def found(package: Package) -> list[ArchImage]:
        images = (find_image(cache, package.reference, arch) for arch in ARCHES)
        return [image for image in images if image]

    with open_registry(settings) as registry:
        for package in packages:
            images = found(package)
            if required and not images:
                raise CacheError(f"{package.reference.familiar} is not in the cache {cache.root}")
            for image in images:
                if registry.head(image.reference) is None:
                    push_image(cache, registry, image)
                    click.echo(f"{image.reference.familiar}  pushed from the cache")
