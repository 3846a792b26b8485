"""From what was asked to what a bump does: read the tree at HEAD, compute, compare with the working tree."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from farm.bump.compute import Bump, Targets, compute_bump
from farm.bump.read_commit import read_commit
from farm.bump.working_tree import refuse_changed_packages
from farm.errors import GitError, InputError
from farm.graph.find_uses import names_of
from farm.graph.order import reachable
from farm.graph.read_graph import read_graph
from farm.graph.resolve_names import resolve_names
from farm.package.git import open_repository, top_of
from farm.package.tags import TagOptions

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from farm.graph.graph import Graph
    from farm.model import Reference
    from farm.package.git import Repository


class BumpRequest(NamedTuple):
    """What a bump is asked to do; one of the first three."""

    names: tuple[str, ...] = ()
    """Packages, as people name them."""
    stale: bool = False
    """Whether all packages count as named."""
    to: Reference | None = None
    """What the references to one image become."""
    package_dirs: tuple[str, ...] = (".",)
    """The directories, from the top of the repository, below which its packages are."""
    files: tuple[str, ...] = ()
    """Patterns of further files whose references are rewritten."""
    build_yml: str = "build.yml"
    org: str | None = None
    """An organisation in which files may name the images, beside that of build.yml."""


@dataclass(frozen=True, slots=True)
class PlannedBump:
    """A bump of one repository."""

    repository: Repository
    asked: tuple[str, ...]
    """What was asked for, in the words of a commit message."""
    bump: Bump
    to_push: tuple[str, ...]
    """The directories of the packages that may have a new tag and of all that they need, as far as the farm
    builds them."""
    warnings: tuple[str, ...]


def plan_bump(directory: Path, request: BumpRequest, args: Mapping[str, str]) -> PlannedBump:
    """The bump of the repository of a directory, computed for its HEAD; nothing is written.

    Raises:
        GitError: the directory is in no repository, or that has no commits.
        InputError: there is no such package, or packages refer to one another in a cycle.
        DirtyError: a package whose references would be rewritten has uncommitted changes.
    """
    top = top_of(directory.resolve())
    if not top:
        raise GitError(
            f"{directory}: is not in a git repository", hint="go to the repository of the packages"
        )
    repository = open_repository(top)
    if not repository.commit:
        raise GitError(f"{top}: has no commits yet", hint="git add and git commit the packages")
    below = _below(top, request.package_dirs)
    tree = read_graph(
        below, TagOptions(hash_commit=repository.commit, build_yml=request.build_yml), args, request.org
    )
    packages = [package for package in tree.graph.packages.values() if package.repository == repository.top]
    names = {name: package.reference.name for name, package in names_of(packages, request.org).items()}
    targets = _targets(tree.graph, request, names)
    names |= {name: name for name in targets.to}
    files = read_commit(repository, tree.graph, request.files, names)
    bump = compute_bump(files, packages, targets)
    refuse_changed_packages(repository, bump)
    asked = ("references to all packages",) if request.stale else _asked(bump, targets)
    return PlannedBump(repository, asked, bump, _to_push(tree.graph, bump), tree.warnings)


def _to_push(graph: Graph, bump: Bump) -> tuple[str, ...]:
    names = reachable([package.image for package in bump.affected], graph.dependencies)
    packages = (graph.packages[name] for name in graph.packages if name in names)
    return tuple(package.directory for package in packages if package.yml.file)


def _asked(bump: Bump, targets: Targets) -> tuple[str, ...]:
    """Each image that was named, with the tag that its references get."""
    named = (tag.package.reference.with_tag(tag.tag) for tag in bump.tags)
    own = [one.short for one in named if one.name in targets.named]
    return (*own, *(f"{name.removeprefix('docker.io/')}:{tag}" for name, tag in targets.to.items()))


def _below(top: Path, package_dirs: Sequence[str]) -> list[str]:
    """The directories of packages, as paths from the current directory where that is above them."""
    found = []
    for name in package_dirs:
        path = Path(top, name).resolve()
        if not path.is_relative_to(top) or not path.is_dir():
            raise InputError(f"package-dirs: {name} is not a directory of {top}")
        found.append(os.path.relpath(path, Path.cwd()))
    return found


def _targets(graph: Graph, request: BumpRequest, known: Mapping[str, str]) -> Targets:
    if sum((bool(request.names), request.stale, request.to is not None)) != 1:
        raise InputError("name packages, or --stale, or --to: one of the three")
    if request.to:
        if not request.to.tag or request.to.digest:
            raise InputError(f"--to {request.to.familiar}: must be NAME:TAG")
        if "/" not in request.to.familiar:
            raise InputError(f"--to {request.to.familiar}: must be ORG/NAME:TAG, not an official image")
        return Targets(to={known.get(request.to.name, request.to.name): request.to.tag})
    names = graph.packages if request.stale else resolve_names(request.names, graph.packages)
    return Targets(frozenset(graph.packages[name].reference.name for name in names))
