"""The tree hashes of a build context, recomputed from its files."""

from __future__ import annotations

from typing import TYPE_CHECKING

from farm.package.object_ids import DIRECTORY, Member, tree_id
from farm.package.tags import combined_hash

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from farm.package.tarball import Entry


def context_hash(entries: Iterable[Entry], destinations: Sequence[str]) -> str:
    """The hash of a context: the package's own tree, combined with that of each destination in order.

    A file belongs to the innermost destination that contains it, or else to the package itself.
    """
    places = [b"", *(destination.encode(errors="surrogateescape") for destination in destinations)]
    files: dict[bytes, list[Entry]] = {place: [] for place in places}
    for entry in entries:
        if entry.mode != DIRECTORY:
            files[_owner(entry.path, files)].append(entry)
    return combined_hash([_tree_hash(files[place], place) for place in places])


def _owner(path: bytes, places: Iterable[bytes]) -> bytes:
    return max((place for place in places if not place or path.startswith(place + b"/")), key=len)


def _tree_hash(files: Iterable[Entry], below: bytes) -> str:
    directories: dict[bytes, list[Member]] = {b"": []}
    for entry in files:
        path = entry.path[len(below) + 1 :] if below else entry.path
        directory, _, name = path.rpartition(b"/")
        directories.setdefault(directory, []).append((name, entry.mode, entry.oid))
        while directory := directory.rpartition(b"/")[0]:
            directories.setdefault(directory, [])
    # Deepest first: the id of a tree covers the ids of its subtrees.
    for directory in sorted(directories, key=lambda path: path.count(b"/") + 1 if path else 0, reverse=True):
        oid = tree_id(directories[directory])
        if directory:
            parent, _, name = directory.rpartition(b"/")
            directories[parent].append((name, DIRECTORY, oid))
    return oid
