"""The uses that packages make of each other, from their Dockerfiles and build.yml files: pure functions."""

from __future__ import annotations

import posixpath
from bisect import bisect_left
from contextlib import suppress
from typing import TYPE_CHECKING

from farm.errors import InputError
from farm.graph.graph import Use, UseKind
from farm.model import Reference

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from farm.model import GitTree, Package
    from farm.package.dockerfile import BaseImage


def names_of(packages: Sequence[Package], org: str | None) -> dict[str, Package]:
    """The packages by Reference.name: that of build.yml, and that with another organisation, if there is one.

    A Dockerfile may say either, such as FROM ${ORG}/foo:HASH.
    """
    found = {package.reference.name: package for package in packages}
    if not org:
        return found
    others: dict[str, list[Package]] = {}
    for package in packages:
        others.setdefault(Reference.parse(f"{org}/{package.yml.image}").name, []).append(package)
    # Its own name is the package's that has it, and a name of several is nobody's.
    return {name: same[0] for name, same in others.items() if len(same) == 1} | found


def find_uses(
    packages: Sequence[Package], bases: Mapping[str, Sequence[BaseImage]], org: str | None = None
) -> tuple[Use, ...]:
    """The uses of packages, each once; `bases` are the base images by package name."""
    by_name = names_of(packages, org)
    directories = _Directories(packages)
    found: list[Use] = []
    for package in packages:
        images = [(base.reference, UseKind.BASE) for base in bases.get(package.image, ())]
        images += [(reference, UseKind.IMAGE) for reference in _docker_images(package)]
        for reference, kind in images:
            used = by_name.get(reference.name)
            if used and used is not package:
                found.append(Use(package.image, used.image, kind, reference, _is_stale(reference, used)))
        found += (
            Use(package.image, used, UseKind.SOURCE)
            for tree in package.trees[1:]
            for used in directories.sharing(package, tree)
            if used != package.image
        )
    return tuple(dict.fromkeys(found))


def _is_stale(reference: Reference, used: Package) -> bool:
    """Whether the tag is another one; a digest alone does not say."""
    return bool(reference.tag) and reference.tag != used.reference.tag


def _docker_images(package: Package) -> Iterator[Reference]:
    for image in package.yml.depends.images if package.yml.depends else ():
        with suppress(InputError):
            yield Reference.parse(image)


class _Directories:
    """The directories of packages, to find those that share files with another directory."""

    def __init__(self, packages: Sequence[Package]) -> None:
        own = ((_place(package, package.trees[0]), package.image) for package in packages if package.trees)
        self._sorted = sorted(own)
        self._by_place = dict(self._sorted)

    def sharing(self, package: Package, tree: GitTree) -> Iterator[str]:
        """The packages whose directories contain this one, or are below it."""
        place = _place(package, tree)
        above = place
        while above != posixpath.dirname(above):
            if above in self._by_place:
                yield self._by_place[above]
            above = posixpath.dirname(above)
        at = bisect_left(self._sorted, (f"{place}/", ""))
        while at < len(self._sorted) and self._sorted[at][0].startswith(f"{place}/"):
            yield self._sorted[at][1]
            at += 1


def _place(package: Package, tree: GitTree) -> str:
    return posixpath.join(tree.repository or package.repository, tree.path).rstrip("/")
