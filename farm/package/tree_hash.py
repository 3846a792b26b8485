"""Git's tree hashes, made again from the files of a context."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from farm.package.tags import combined_hash
from farm.package.tarball import FOLDER

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from farm.package.tarball import Entry

_Member = tuple[bytes, str, str]
"""Name, mode and object name of a member of a tree."""


def context_hash(entries: Iterable[Entry], destinations: Sequence[str]) -> str:
    """The hash of a context: of the package's own tree, combined with that of each destination in order.

    A file belongs to the innermost destination that it lies in, else to the package itself.
    """
    places = [b"", *(destination.encode(errors="surrogateescape") for destination in destinations)]
    files: dict[bytes, list[Entry]] = {place: [] for place in places}
    for entry in entries:
        if entry.mode != FOLDER:
            files[_owner(entry.path, files)].append(entry)
    return combined_hash([_tree_hash(files[place], place) for place in places])


def _owner(path: bytes, places: Iterable[bytes]) -> bytes:
    return max((place for place in places if not place or path.startswith(place + b"/")), key=len)


def _tree_hash(files: Iterable[Entry], below: bytes) -> str:
    folders: dict[bytes, list[_Member]] = {b"": []}
    for entry in files:
        path = entry.path[len(below) + 1 :] if below else entry.path
        folder, _, name = path.rpartition(b"/")
        folders.setdefault(folder, []).append((name, entry.mode, entry.oid))
        while folder := folder.rpartition(b"/")[0]:
            folders.setdefault(folder, [])
    # From the deepest up, so that every tree finds its subtrees named.
    for folder in sorted(folders, key=lambda path: path.count(b"/") + 1 if path else 0, reverse=True):
        oid = _tree_name(folders[folder])
        if folder:
            parent, _, name = folder.rpartition(b"/")
            folders[parent].append((name, FOLDER, oid))
    return oid


def _tree_name(members: Iterable[_Member]) -> str:
    """The hex name of a tree object; git sorts a directory as if its name ended in a slash."""
    ordered = sorted(members, key=lambda member: member[0] + b"/" if member[1] == FOLDER else member[0])
    body = b"".join(mode.encode() + b" " + name + b"\0" + bytes.fromhex(oid) for name, mode, oid in ordered)
    return hashlib.sha1(b"tree %d\0" % len(body) + body, usedforsecurity=False).hexdigest()
