"""What a push or build must know of the files of packages before it begins.

Files that git converts in a way that no worker can verify are refused, and so are files that a Dockerfile
copies and git ignores. Files without effect give a warning.
"""

from __future__ import annotations

import os
import posixpath
from bisect import bisect_left
from collections import defaultdict
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from farm.errors import GitError, InputError
from farm.model import GitTree
from farm.package.checkout import (
    convert_text,
    find_content,
    read_pointer,
    refuse_driver,
    refuse_long_text,
)
from farm.package.context_entries import Listing
from farm.package.dockerfile import dockerfiles, reading, sources_of
from farm.package.forms import LONGEST_POINTER, LONGEST_TEXT, claims_pointer
from farm.package.git import (
    INCLUDE_IGNORED,
    Repository,
    common_directory,
    ignore_rule,
    open_repository,
    read_files,
    repository_of,
    top_of,
)
from farm.package.submodules import working_submodules

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from farm.model import Package
    from farm.package.attributes import Conversion
    from farm.package.git import TreeFile

_IGNORE_FILE = ".dockerignore"
_MOST_ASKED = 100
"""Sources of a Dockerfile, not committed, about which git is asked, each by a process."""


def check_files(
    packages: Sequence[Package],
    texts: Mapping[str, str] | None = None,
    listings: Mapping[Repository, Listing] = MappingProxyType({}),
) -> tuple[str, ...]:
    """Check the files of packages; returns warnings. Git is asked only for what is not given.

    Args:
        packages: the packages.
        texts: the result of `dockerfiles`.
        listings: the result of `list_contents`.

    Raises:
        InputError: a file cannot be built as it is; the message names it.
    """
    commits: dict[Repository, list[tuple[Package, GitTree]]] = defaultdict(list)
    for repository, package, part in _parts_in_git(packages):
        commits[repository].append((package, part))
    texts = texts or dockerfiles(packages)
    for repository, parts in commits.items():
        listing = listings.get(repository) or Listing(repository, [part.path for _, part in parts])
        _check_conversions(listing, parts)
        paths = sorted(listing.files)
        for package, part in parts:
            if _is_committed(package) and part is package.trees[0]:
                with reading(package):
                    sources = sources_of(texts[package.image])
                _refuse_ignored_sources(package, sources, paths)
    return tuple(warn_of_ignore_files(packages))


def _is_committed(package: Package) -> bool:
    """Whether the context comes from a commit, not from the working directory."""
    return bool(package.commit) and not package.dirty


def _parts_in_git(packages: Iterable[Package]) -> Iterator[tuple[Repository, Package, GitTree]]:
    """The parts of packages, each with its repository: at its commit, or HEAD if none holds its files."""
    at_head = cache(open_repository)
    for package in packages:
        for part in package.parts:
            at = repository_of(package, part)
            if not at.commit and top_of(Path(at.top)):
                at = at_head(Path(at.top))
            if at.commit and part.tree:  # not of a submodule that is missing
                yield at, package, part
                if not _is_committed(package):
                    for submodule in _submodules_in_use(package, at, part):
                        yield submodule, package, GitTree("", part.tree)


def _submodules_in_use(package: Package, repository: Repository, part: GitTree) -> Iterator[Repository]:
    """The submodules of which a working directory that is built as it is has files."""
    for top, submodule in working_submodules(repository, part.path):
        if submodule is None and not package.dirty:
            raise InputError(
                f"{package.directory}: the submodule {top} is not checked out, so its files are missing",
                hint="git submodule update --init --recursive",
            )
        if submodule and submodule.commit:
            yield submodule


def _check_conversions(listing: Listing, parts: Sequence[tuple[Package, GitTree]]) -> None:
    within = [
        (package, path, conversion)
        for path, conversion in listing.conversions.items()
        for package, part in parts
        if _is_below(path, part.path)
    ]
    committed = []
    for package, path, conversion in within:
        if _is_committed(package):
            refuse_driver(package.directory, path, conversion)
            committed.append((package, path, conversion))
        elif conversion.filter:
            _refuse_working_pointer(package, listing.repository.top, path)
    if committed:
        _check_blobs(listing.repository, listing.files, committed)


def _check_blobs(
    repository: Repository,
    listed: Mapping[bytes, TreeFile],
    files: Sequence[tuple[Package, bytes, Conversion]],
) -> None:
    names = {f"{repository.commit}:{os.fsdecode(path)}": path for _, path, _ in files}
    found = read_files(repository.top, names, LONGEST_TEXT)
    blobs = {names[name]: blob for name, blob in found.contents.items()}
    large = {names[name]: size for name, size in found.large.items()}
    common = common_directory(repository)
    for package, path, conversion in files:
        blob = blobs.get(path, b"")
        pointer = read_pointer(package.directory, path, blob) if conversion.filter else None
        if pointer and os.fsdecode(path) == posixpath.join(package.trees[0].path, package.yml.dockerfile):
            raise InputError(
                f"{package.directory}: its {package.yml.dockerfile} is in LFS, where no base image is seen",
                hint="git lfs untrack and commit it",
            )
        if pointer:
            find_content(package.directory, path, pointer, repository.top, common)
        elif (path in large or blob) and (conversion.crlf or conversion.ident):
            refuse_long_text(package.directory, path, large.get(path, 0))
            convert_text(package.directory, path, blob, listed[path].oid, conversion)


def _is_below(path: bytes, directory: str) -> bool:
    return not directory or path.startswith(os.fsencode(directory) + b"/")


def _refuse_working_pointer(package: Package, top: str, path: bytes) -> None:
    """Refuse a pointer of LFS in a working directory that is built as it is."""
    file = Path(top, os.fsdecode(path))
    if file.is_file() and file.stat().st_size <= LONGEST_POINTER and claims_pointer(file.read_bytes()):
        raise InputError(
            f"{package.directory}: {file} holds the pointer of git-lfs, not the content", hint="git lfs pull"
        )


def _refuse_ignored_sources(package: Package, sources: Iterable[str], committed: Sequence[bytes]) -> None:
    """Refuse a Dockerfile that copies a file which exists, but is not committed, because git ignores it.

    `committed` are all files of the commit, sorted.
    """
    here, depends = Path(package.directory).resolve(), package.yml.depends
    made = [part.dst for part in package.parts[1:]]
    made += [path for path in (depends.target, depends.target_dir) if path] if depends else []
    left = _MOST_ASKED
    for source in sources:
        path = posixpath.normpath(posixpath.join(package.trees[0].path, source))
        known = path == "." or _holds(committed, os.fsencode(path))
        if known or any(not one or source == one or source.startswith(f"{one}/") for one in made):
            continue
        if not left or not (here / source).exists():
            continue
        left -= 1
        if rule := ignore_rule(here / source):
            raise GitError(
                f"{package.directory}: its Dockerfile copies {source}, but git ignores it ({rule}), "
                "so it is not built",
                hint=INCLUDE_IGNORED,
            )


def _holds(paths: Sequence[bytes], path: bytes) -> bool:
    """Whether sorted paths contain this one, or one below it."""
    return any(
        paths[at : at + 1] and (paths[at] == path or paths[at].startswith(path + b"/"))
        for at in (bisect_left(paths, path), bisect_left(paths, path + b"/"))
    )


def warn_of_ignore_files(packages: Sequence[Package]) -> Iterator[str]:
    """A warning that names the files which have an effect only with docker."""
    found = [
        str(path)
        for package in packages
        for name in (_IGNORE_FILE, f"{package.yml.dockerfile}{_IGNORE_FILE}")
        if (path := Path(package.directory) / name).is_file()
    ]
    if found:
        have = "has" if len(found) == 1 else "have"
        yield (
            f"{', '.join(found)} {have} no effect: as with linuxkit, the build context is the whole package"
        )
