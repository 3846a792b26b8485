"""What a build context will contain, by git's listing of its trees, and every reason not to pack it.

A plan calls this for each package that has to be built, and a push again when it packs: neither can refuse
what the other accepts. GitPython is not needed, so a plan stays quick.
"""

from __future__ import annotations

import os
import re
from bisect import bisect_left
from typing import TYPE_CHECKING

from farm.errors import ContextError, GitError, InputError
from farm.package.git import is_shallow, list_trees
from farm.package.tags import require_committed
from farm.package.tarball import Entry, printable
from farm.package.tree_hash import DIRECTORY, context_hash
from farm.package.verify_context import check_entries

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from farm.model import GitTree, Package

_GITLINK = "160000"
_RECORD = re.compile(rb"0*(\d+) \w+ ([0-9a-f]+)\t(.*)", re.DOTALL)


class Listing:
    """The files, links and directories of some directories at one commit."""

    def __init__(self, repository: str, records: Iterable[bytes], *, shallow: bool) -> None:
        """Take the records of `git ls-tree -r -t -z`; the clone may be shallow."""
        self.repository = repository
        self.shallow = shallow
        matches = filter(None, map(_RECORD.fullmatch, records))
        self._entries = sorted((match[3], match[1].decode(), match[2].decode()) for match in matches)

    def below(self, tree: GitTree) -> Iterator[Entry]:
        """The entries of a tree, at its place in the context; a submodule is refused."""
        inside = os.fsencode(tree.path) + b"/" if tree.path else b""
        place = tree.dst.encode(errors="surrogateescape") + b"/" if tree.dst else b""
        for path, mode, oid in self._entries[bisect_left(self._entries, (inside,)) :]:
            if not path.startswith(inside):
                return
            if mode == _GITLINK:
                raise GitError(
                    f"{self.repository}: {printable(path)} is a submodule, not a part of the tree",
                    hint="commit its files instead",
                )
            yield Entry(place + path.removeprefix(inside), mode, "" if mode == DIRECTORY else oid)


def list_contents(packages: Iterable[Package]) -> dict[tuple[str, str], Listing]:
    """The listing of each repository and commit that has some of these packages; two git processes each."""
    paths: dict[tuple[str, str], set[str]] = {}
    for package in packages:
        key = (package.repository, require_committed(package))
        paths.setdefault(key, set()).update(tree.path for tree in package.trees)
    return {
        (top, commit): Listing(top, list_trees(top, commit, found), shallow=is_shallow(top))
        for (top, commit), found in paths.items()
    }


def context_entries(package: Package, listing: Listing) -> list[Entry]:
    """The entries of a package's context in their order, without sizes and without targets of links.

    Raises:
        InputError: its extra sources overlap, or it has a submodule.
        ContextError: it contains something that a context cannot, or git's objects are damaged.
    """
    places = [tree.dst for tree in package.trees[1:]]
    _check_places(package, places)
    entries = list(check_entries(_merged(package, listing)))
    found = context_hash(entries, places)
    if found != package.tree:
        raise ContextError(
            f"{package.directory}: its files have the hash {found}, but its trees {package.tree}",
            hint="run `git fsck`",
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


def _merged(package: Package, listing: Listing) -> list[Entry]:
    entries: dict[bytes, Entry] = {}
    for tree in package.trees:
        own = list(listing.below(tree))
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
