"""From directories to the graph of their packages; what cannot be read is left out, and said."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from farm.errors import InputError
from farm.graph.find_uses import find_uses
from farm.graph.graph import Graph
from farm.graph.image_directories import find_image_directories
from farm.package.dockerfile import base_images, read_dockerfiles
from farm.package.read_packages import directories_below, read_tree, resolve_args_of_tree

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from farm.model import Package
    from farm.package.dockerfile import BaseImage
    from farm.package.tags import TagOptions


class Tree(NamedTuple):
    """The packages of a tree, and the texts that say what they are built from."""

    graph: Graph
    dockerfiles: Mapping[str, str]
    """Text by package name; without those that cannot be read."""
    warnings: tuple[str, ...]
    """Why packages, build arguments or Dockerfiles are left out."""


class _Read(NamedTuple):
    """Packages, what their Dockerfiles say, and what cannot be read of them."""

    packages: list[Package]
    texts: dict[str, str]
    bases: dict[str, tuple[BaseImage, ...]]
    errors: list[InputError]


def read_graph(
    below: Sequence[str], options: TagOptions, args: Mapping[str, str], org: str | None = None
) -> Tree:
    """The graph of the packages below these directories; `args` are the build arguments of all packages.

    The tree's files may name the images as build.yml does, or in the organisation `org`.

    Raises:
        GitError: git cannot read a repository.
        InputError: there is no package.
    """
    packages, errors = read_tree(directories_below(below, options.build_yml), options)
    packages, doubles = _without_doubles(packages)
    found = _read(packages, options, args)
    errors += found.errors
    left = found
    while left.packages:  # what an image without a build.yml is built from may be another one
        known = {package.reference.name for package in found.packages}
        images = [base.reference for bases in left.bases.values() for base in bases]
        unknown = [image for image in images if image.name not in known]
        more, unreadable = find_image_directories(below, options.build_yml, unknown, options)
        left = _read(more, options, args)
        errors += (*unreadable, *left.errors)
        found = _Read(
            [*found.packages, *left.packages], found.texts | left.texts, found.bases | left.bases, []
        )
    by_name = {package.image: package for package in sorted(found.packages, key=lambda one: one.image)}
    warnings = (*map(str, errors), *doubles)
    return Tree(Graph(by_name, find_uses(found.packages, found.bases, org)), found.texts, warnings)


def _read(packages: Sequence[Package], options: TagOptions, args: Mapping[str, str]) -> _Read:
    resolved, of_args = resolve_args_of_tree(packages, options.build_yml)
    texts, unreadable = read_dockerfiles(resolved)
    bases: dict[str, tuple[BaseImage, ...]] = {}
    errors = [*of_args, *unreadable]
    for package in resolved:
        try:
            bases |= base_images([package], args, texts) if package.image in texts else {}
        except InputError as error:
            errors.append(error)
    return _Read(resolved, texts, bases, errors)


def _without_doubles(packages: Sequence[Package]) -> tuple[list[Package], list[str]]:
    """The packages with a name of their own, the first of several; and a warning about each other one."""
    kept: dict[str, Package] = {}
    warnings = []
    for package in packages:
        first = kept.setdefault(package.image, package)
        if first is not package:
            warnings.append(
                f"{package.directory}: makes {package.image}, as {first.directory} does: left out"
            )
    return list(kept.values()), warnings
