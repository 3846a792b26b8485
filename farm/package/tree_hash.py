"""The ids of git's objects, and from them the hash of a build context, recomputed from its files.

An id is sha1 over "TYPE SIZE", a zero byte and the content:
https://git-scm.com/book/en/v2/Git-Internals-Git-Objects#_object_storage
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from farm.model import combined_hash

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from farm.package.tarball import Entry

    Member = tuple[bytes, str, str]  # name, mode and object id, in a tree

FILE, EXECUTABLE, GROUP_WRITABLE, SYMLINK, DIRECTORY = "100644", "100755", "100664", "120000", "40000"
"""The modes in git's trees; git writes 100664 no more, but old histories have it.

https://git-scm.com/docs/git-fast-import#_filemodify
"""


def context_hash(entries: Iterable[Entry], destinations: Sequence[str]) -> str:
    """The hash of a context: the package's own tree, combined with that of each destination in order.

    A file belongs to the innermost destination that contains it, or else to the package itself.
    """
    places = [b"", *(destination.encode(errors="surrogateescape") for destination in destinations)]
    files: dict[bytes, list[Entry]] = {place: [] for place in places}
    for entry in entries:
        if entry.mode != DIRECTORY:
            within = (place for place in places if not place or entry.path.startswith(place + b"/"))
            files[max(within, key=len)].append(entry)
    return combined_hash([_tree_hash(files[place], place) for place in places])


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
        oid = _tree_id(directories[directory])
        if directory:
            parent, _, name = directory.rpartition(b"/")
            directories[parent].append((name, DIRECTORY, oid))
    return oid


def _tree_id(members: Iterable[Member]) -> str:
    # "MODE NAME", a zero byte and the 20 bytes of the id for each member; sorted by name, directories as if
    # theirs ended in a slash: https://github.com/git/git/blob/v2.30.0/read-cache.c (base_name_compare)
    ordered = sorted(members, key=lambda member: member[0] + b"/" if member[1] == DIRECTORY else member[0])
    body = b"".join(mode.encode() + b" " + name + b"\0" + bytes.fromhex(oid) for name, mode, oid in ordered)
    return hashlib.sha1(b"tree %d\0" % len(body) + body, usedforsecurity=False).hexdigest()
