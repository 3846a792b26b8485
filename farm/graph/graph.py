"""The graph of a tree: its packages, and the uses that they make of each other."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

from farm.errors import InputError
from farm.graph.order import critical_path, reachable, reversed_edges, waves

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from farm.model import Package, Reference


class UseKind(StrEnum):
    """How a package uses another one."""

    BASE = "base image"
    """A Dockerfile is built FROM it, or copies or mounts from it."""
    IMAGE = "docker image"
    """`depends.docker-images` saves it into the build context, by its digest."""
    SOURCE = "extra source"
    """`extra-sources` copies its directory, or a part: no image is needed, but the tags change together."""


class Use(NamedTuple):
    """One use that a package makes of another one."""

    user: str
    used: str
    kind: UseKind
    reference: Reference | None = None
    """The image that is used; None for an extra source."""
    stale: bool = False
    """Whether that is another tag than the tree makes."""


@dataclass(frozen=True)
class Graph:
    """Packages by name, and their uses of each other; a package has none of itself."""

    packages: Mapping[str, Package]
    uses: tuple[Use, ...]

    @cached_property
    def uses_of(self) -> Mapping[str, Sequence[Use]]:
        """Package to the uses that it makes."""
        found: dict[str, list[Use]] = {name: [] for name in self.packages}
        for use in self.uses:
            found[use.user].append(use)
        return found

    @cached_property
    def dependencies(self) -> Mapping[str, Sequence[str]]:
        """Package to those whose images it needs."""
        return {
            name: list(dict.fromkeys(use.used for use in uses if use.kind is not UseKind.SOURCE))
            for name, uses in self.uses_of.items()
        }

    @cached_property
    def dependents(self) -> Mapping[str, Sequence[str]]:
        """Package to those that need its image; without those that nobody needs."""
        return reversed_edges(self.dependencies)

    @cached_property
    def ordering(self) -> Mapping[str, Sequence[str]]:
        """The dependencies that decide the order of builds: without stale ones, if they make a cycle.

        A package may be built from an older image of one that is built from it.
        """
        try:
            waves(self.packages, self.dependencies)
        except InputError:
            current = replace(self, uses=tuple(use for use in self.uses if not use.stale))
            return current.dependencies
        return self.dependencies

    @cached_property
    def waves(self) -> list[list[str]]:
        """The packages in groups that can be built one after another, if each uses the current tags.

        Raises:
            InputError: packages depend on one another in a cycle.
        """
        return waves(self.packages, self.ordering)

    @cached_property
    def critical_path(self) -> list[str]:
        """The longest chain of packages, each of which needs the one before."""
        return critical_path(self.packages, self.ordering, lambda _: 1.0)

    @property
    def stale(self) -> tuple[Use, ...]:
        """The uses of another tag than the tree makes."""
        return tuple(use for use in self.uses if use.stale)

    def around(self, names: Collection[str]) -> Graph:
        """The part of the graph with these packages, all that they need and all that need them."""
        kept = reachable(names, self.dependencies) | reachable(names, self.dependents)
        return self.only(name for name in self.packages if name in kept)

    def only(self, names: Iterable[str]) -> Graph:
        """The part of the graph with these packages."""
        packages = {name: self.packages[name] for name in names}
        uses = (use for use in self.uses if use.user in packages and use.used in packages)
        return replace(self, packages=packages, uses=tuple(uses))

    def to_json(self) -> dict[str, Any]:
        """The output of `--json`."""
        wave_of = {name: number for number, wave in enumerate(self.waves, 1) for name in wave}
        return {
            "packages": [
                {
                    "package": name,
                    "directory": package.directory,
                    "reference": str(package.reference),
                    "wave": wave_of[name],
                    "uses": [_use(use) for use in self.uses_of[name]],
                    "dependents": list(self.dependents.get(name, ())),
                }
                for name, package in self.packages.items()
            ],
            "waves": self.waves,
            "criticalPath": self.critical_path,
        }


def _use(use: Use) -> dict[str, Any]:
    reference = str(use.reference) if use.reference else None
    return {"package": use.used, "kind": use.kind, "reference": reference, "stale": use.stale}
