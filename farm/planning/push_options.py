"""What a push is asked to do, and the architectures that follow from it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from farm.model import ARCHES

if TYPE_CHECKING:
    from farm.model import Package


@dataclass(frozen=True, slots=True)
class PushOptions:
    """What a push is asked to do with all of its packages."""

    arches: tuple[str, ...]
    """Architectures of a package whose build.yml names none."""
    platforms: tuple[str, ...] = ()
    """Architectures of every package, whatever its build.yml names."""
    skip: tuple[str, ...] = ()
    """Architectures to leave out of every package."""
    only: tuple[str, ...] = ()
    """Build only these of each package's architectures, and publish a partial index."""
    sign: bool = True
    force: bool = False
    partial: bool = False
    every_image: bool = False
    """Whether to look up images of all architectures, not only those of the package."""
    release: str = ""
    """A release tag for every package, such as v1.2; "" for none."""
    images_only: bool = False
    """Whether to push the images and leave the index as it is."""


def arches_of(package: Package, options: PushOptions) -> tuple[str, ...]:
    """The architectures that a package's index must contain."""
    arches = options.platforms or package.yml.arches or options.arches
    return tuple(
        arch for arch in arches if arch not in options.skip and (not options.only or arch in options.only)
    )


def arches_to_look_up(package: Package, options: PushOptions) -> tuple[str, ...]:
    """The architectures whose images are looked up in the registry."""
    return tuple(dict.fromkeys((*arches_of(package, options), *(ARCHES if options.every_image else ()))))


def is_signed(package: Package, options: PushOptions) -> bool:
    """Whether the package's index is to be signed."""
    return options.sign and not package.yml.disable_content_trust
