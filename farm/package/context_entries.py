"""What a build context will contain, by git's listing of its trees, and every reason not to pack it.

A plan calls this for each package that has to be built, and a push again when it packs: neither can refuse
what the other accepts. GitPython is not needed, so a plan stays quick.
"""

from __future__ import annotations

import os
from bisect import bisect_left
from typing import TYPE_CHECKING, Protocol

from farm.errors import ContextError, InputError
from farm.package.git import GITLINK, Repository, is_shallow, list_files, submodule_error
from farm.package.tarball import Entry, printable
from farm.package.tree_hash import DIRECTORY, context_hash
from farm.package.verify_context import check_entries

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from farm.model import GitTree, Package

_SLASH = ord("/")


class Source(Protocol):
    """Where the entries of trees come from."""

    def entries(self, tree: GitTree, /) -> Iterable[Entry]:
        """Every file, link and directory of a tree, at its place in the context."""


class Listing:
    """The files, links and directories of some directories at one commit, without sizes and conversions."""

    def __init__(self, repository: Repository, directories: Iterable[str]) -> None:
        self.repository = repository
        self.shallow = is_shallow(repository.top)
        self.files = list_files(repository, directories)
        self._sorted = sorted(self.files.items())

    def entries(self, tree: GitTree) -> Iterator[Entry]:
        """Every file, link and directory of a tree, at its place in the context; a submodule is refused."""
        inside = os.fsencode(tree.path) + b"/" if tree.path else b""
        place = tree.dst.encode(errors="surrogateescape") + b"/" if tree.dst else b""
        known: set[bytes] = set()
        for path, file in self._sorted[bisect_left(self._sorted, (inside,)) :]:
            if not path.startswith(inside):
                return
            if file.mode == GITLINK:
                raise submodule_error(self.repository.top, path)
            below = path.removeprefix(inside)
            for end in (at for at, byte in enumerate(below) if byte == _SLASH):
                if below[:end] not in known:
                    known.add(below[:end])
                    yield Entry(place + below[:end], DIRECTORY)
            yield Entry(place + below, file.mode, file.oid)


def list_contents(packages: Iterable[Package]) -> dict[Repository, Listing]:
    """The listing of each repository and commit that has some of these packages; two git processes each."""
    paths: dict[Repository, set[str]] = {}
    for package in packages:
        if package.commit:
            key = Repository(package.repository, package.commit)
            paths.setdefault(key, set()).update(tree.path for tree in package.trees)
    return {repository: Listing(repository, found) for repository, found in paths.items()}


def context_entries(package: Package, source: Source) -> list[Entry]:
    """The entries of a package's context in their order, as complete as their source has them.

    Raises:
        InputError: its extra sources overlap, or it has a submodule.
        ContextError: it contains something that a context cannot, or git's objects are damaged.
    """
    places = [tree.dst for tree in package.trees[1:]]
    _check_places(package, places)
    entries = list(check_entries(_merged(package, source)))
    found = context_hash(entries, places)
    if found != package.tree:
        raise ContextError(
            f"{package.directory}: its files have the hash {found}, but its trees {package.tree}",
            hint="run `git fsck`" if package.commit else "they changed meanwhile: run the command again",
        )
    return entries


def _check_places(package: Package, places: Sequence[str]) -> None:
    for place in places:
        parts = place.split("/")
        if place.startswith("/") or {"", ".", ".."} & set(parts):
            raise InputError(
                f"{package.directory}: the destination {place!r} of an extra source is not below the package"
            )
        if places.count(place) > 1:
            raise InputError(f"{package.directory}: two extra sources have the same destination, {place}")


def _merged(package: Package, source: Source) -> list[Entry]:
    entries: dict[bytes, Entry] = {}
    for tree in package.trees:
        own = list(source.entries(tree))
        if tree.dst:
            own.append(Entry(tree.dst.encode(errors="surrogateescape"), DIRECTORY))
        for entry in own:
            if entry.path in entries:
                raise InputError(
                    f"{package.directory}: the extra source {tree.path} overwrites {printable(entry.path)}",
                    hint="give it another destination",
                )
            entries[entry.path] = entry
    for tree in package.trees[1:]:
        _add_parents(package, tree.dst.encode(errors="surrogateescape"), entries)
    return [entries[path] for path in sorted(entries)]


def _add_parents(package: Package, place: bytes, entries: dict[bytes, Entry]) -> None:
    while place := place.rpartition(b"/")[0]:
        if entries.setdefault(place, Entry(place, DIRECTORY)).mode != DIRECTORY:
            raise InputError(
                f"{package.directory}: the destination of an extra source is below {printable(place)}, a file"
            )
