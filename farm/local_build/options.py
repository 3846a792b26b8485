"""Options and results of local builds."""

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
    """How to build packages locally."""

    arches: tuple[str, ...] = ()
    """The architectures to build, among each package's own; empty for all of them."""
    platforms: tuple[str, ...] = ()
    """The architectures to build of every package, whatever its build.yml lists."""
    skip: tuple[str, ...] = ()
    """The architectures not to build."""
    force: bool = False
    """Build even if the image is in the cache or the registry."""
    pull: bool = True
    """Pull images that the cache lacks from the registry."""
    cached_bases: bool = True
    """Build from the base images that the cache has; otherwise always from those of the registry."""
    docker: bool = False
    """Load images into the engine too: NAME:TAG-ARCH, and NAME:TAG for this machine's architecture."""

    def arches_of(self, package: Package, default_arches: Sequence[str]) -> tuple[str, ...]:
        """The architectures to build of a package; `default_arches` are for a package that lists none."""
        listed = package.yml.arches_or(default_arches)
        if self.platforms:
            return self.platforms
        return tuple(arch for arch in self.arches or listed if arch in listed and arch not in self.skip)

    def unlisted(self, package: Package, default_arches: Sequence[str]) -> list[str]:
        """A message for each requested architecture that the package does not list."""
        listed = package.yml.arches_or(default_arches)
        return [
            f"{package.reference.familiar} {arch}: skipped: not one of its architectures"
            for arch in self.arches
            if listed and arch not in listed and not self.platforms
        ]

    def skipped(self, packages: Sequence[Package], default_arches: Sequence[str]) -> list[str]:
        """A warning for each package that has no architectures, or that `skip` leaves without them."""
        return [
            package.why_skipped
            for package in packages
            if (self.skip or package.has_no_arches) and not self.arches_of(package, default_arches)
        ]


@dataclass(frozen=True, slots=True)
class LocalImage:
    """One package: the image of each architecture and where it came from, or the error."""

    package: Package
    images: tuple[tuple[ArchImage, Origin], ...] = ()
    error: FarmError | None = None

    def to_json(self) -> dict[str, Any]:
        """The output of `--json`."""
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


def refuse_foreign(arch: str, supported: Sequence[str]) -> None:
    """Refuse an architecture that an engine neither has nor emulates."""
    if arch not in supported:
        raise EngineError(
            f"the Docker Engine builds for {', '.join(supported)}, not for {arch}",
            hint="install QEMU's handlers (qemu-user-static, binfmt-support), or build on a farm: farm push",
        )
