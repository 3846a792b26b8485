"""What is asked for of packages made on this machine alone, and what came of it."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from farm.errors import EngineError, FarmError
from farm.model import ArchImage, arch_of_uname

if TYPE_CHECKING:
    from collections.abc import Sequence

    from farm.model import Package


class Origin(StrEnum):
    """Where an image came from."""

    CACHE = "in the cache"
    REGISTRY = "pulled"
    BUILT = "built"


@dataclass(frozen=True, slots=True)
class BuildOptions:
    """What is asked for beyond the packages."""

    arches: tuple[str, ...] = ()
    """Build these of each package's architectures; none stands for all of them."""
    platforms: tuple[str, ...] = ()
    """Build these of every package, whatever it names."""
    skip: tuple[str, ...] = ()
    """Build none of these."""
    force: bool = False
    """Build although the image is in the cache or the registry."""
    pull: bool = True
    """Look in the registry for what the cache lacks."""
    docker: bool = False
    """Give it to the engine as well: NAME:TAG-ARCH, and NAME:TAG for this machine's architecture."""

    def arches_of(self, package: Package, usual: Sequence[str]) -> tuple[str, ...]:
        """The architectures to make a package for; `usual` are those of a package that names none."""
        listed = package.yml.arches or usual
        if self.platforms:
            return self.platforms
        return tuple(arch for arch in self.arches or listed if arch in listed and arch not in self.skip)

    def left_out(self, package: Package, usual: Sequence[str]) -> list[str]:
        """A line for each architecture that is asked for, and that the package does not name."""
        listed = package.yml.arches or usual
        name = package.reference.familiar
        return [
            f"{name} {arch}: not one of its architectures, left out"
            for arch in self.arches
            if arch not in listed and not self.platforms
        ]

    def passed_over(self, packages: Sequence[Package], usual: Sequence[str]) -> list[str]:
        """A warning for each package of which `skip` leaves nothing."""
        return [
            f"{package.image}: has no other architectures, and is passed over"
            for package in packages
            if self.skip and not self.arches_of(package, usual)
        ]


@dataclass(frozen=True, slots=True)
class LocalImage:
    """One package: where the image of each architecture came from, or why there is none."""

    package: Package
    images: tuple[tuple[ArchImage, Origin], ...] = ()
    error: FarmError | None = None

    def to_json(self) -> dict[str, Any]:
        """What `--json` shows."""
        return {
            "package": self.package.image,
            "reference": str(self.package.reference),
            "images": [
                {"arch": image.arch, "digest": image.descriptors[0].digest, "origin": origin.name.lower()}
                for image, origin in self.images
            ],
            "error": self.error.to_json() if self.error else None,
        }


def native_arch() -> str:
    """This machine's architecture, as LinuxKit names it."""
    return arch_of_uname(platform.machine())


def refuse_foreign(arch: str, runs: Sequence[str]) -> None:
    """Refuse an architecture that an engine neither is nor emulates.

    Raises:
        EngineError: it runs others.
    """
    if arch not in runs:
        raise EngineError(
            f"the Docker Engine builds for {', '.join(runs)}, not for {arch}",
            hint="install QEMU's handlers (qemu-user-static, binfmt-support), or push it to a farm",
        )
