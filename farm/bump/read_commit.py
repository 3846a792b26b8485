"""The files of a commit, and the references to packages in them."""

from __future__ import annotations

import posixpath
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from farm.bump.compute import CommitFiles
from farm.bump.find_references import find_bare_tags, find_references
from farm.graph.graph import UseKind
from farm.package.git import list_files, read_at

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from farm.graph.graph import Graph
    from farm.model import Package
    from farm.package.git import Repository

_PATTERNS = ("*.yml", "*.yaml", "*.yml.in", "*.yaml.in", "Dockerfile")
"""The files that are looked through: LinuxKit's YAML files, each build.yml and Dockerfile."""
_REGULAR = "100"


def read_commit(
    repository: Repository, graph: Graph, more: Iterable[str], names: Mapping[str, str]
) -> CommitFiles:
    """The files at the repository's commit, and the references in them to images of these names.

    `names` are as for `find_references`. `more` are patterns of further files: of their names, or with a
    slash of their paths.
    """
    tree = list_files(repository, [""])
    own = {path for package in graph.packages.values() for path in _own_files(package)}
    patterns = (*_PATTERNS, *more)
    paths = [
        name
        for path, file in tree.items()
        if file.mode.startswith(_REGULAR) and (name := path.decode(errors="surrogateescape"))
        if (name in own or _matches(name, patterns)) and "\n" not in name
    ]
    texts = read_at(repository, paths)
    references = {path: find_references(text, names) for path, text in texts.items()}
    for package in graph.packages.values():
        for path in _own_files(package):
            if path in texts:
                used = _tags_used(graph, package, names)
                bare = find_bare_tags(texts[path], used, references[path])
                references[path] = sorted({*references[path], *bare})
    return CommitFiles(tree, texts, {path: found for path, found in references.items() if found})


def _matches(path: str, patterns: Iterable[str]) -> bool:
    name = posixpath.basename(path)
    if "/vendor/" in f"/{path}":
        return False
    return any(fnmatchcase(path if "/" in pattern else name, pattern) for pattern in patterns)


def _own_files(package: Package) -> list[str]:
    """The paths from the top of a package's Dockerfile and build.yml."""
    here = package.trees[0].path if package.trees else ""
    names = (name for name in (package.yml.dockerfile, package.yml.file) if name)
    return [posixpath.normpath(posixpath.join(here, name)) for name in names]


def _tags_used(graph: Graph, package: Package, names: Mapping[str, str]) -> Mapping[str, str]:
    """Tag to name of the base images whose references a Dockerfile may put together from arguments."""
    uses = (use.reference for use in graph.uses_of[package.image] if use.kind is UseKind.BASE)
    return {one.tag: names[one.name] for one in uses if one and one.tag and one.name in names}
