"""The ids of git's objects, and from them the hash of a build context, recomputed from its files.

An id is sha1 over "TYPE SIZE", a zero byte and the content:
https://git-scm.com/book/en/v2/Git-Internals-Git-Objects#_object_storage
"""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING

from farm.errors import ContextError
from farm.model import combined_hash
from farm.package.tree_paths import DIRECTORY, GITLINK, as_bytes, is_below, part_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from farm.package.tarball import Entry

    Member = tuple[bytes, str, str]
    """Name or path, mode and object id."""

_TREE = re.compile(rb"tree ([0-9a-f]{40})\n")


def context_hash(
    entries: Iterable[Entry], destinations: Sequence[str], submodules: Sequence[tuple[str, int, str]] = ()
) -> str:
    """The hash of a context: the package's own tree, combined with that of each destination in order.

    Submodules are as in a Job. A file belongs to the part that it names, or else to the innermost one.

    Raises:
        ContextError: a file is outside its part, or a submodule is not what its commit names.
    """
    places = [b"", *(as_bytes(place) for place in (*destinations, *(one[0] for one in submodules)))]
    files: list[list[Member]] = [[] for _ in places]
    for entry in entries:
        if entry.mode != DIRECTORY:
            number = part_of(entry, places)
            if number >= len(places) or not is_below(entry.path, places[number]):
                raise ContextError(f"the context contains a file of no part: {entry.path!r}")
            files[number].append((_within(places[number], entry.path), entry.mode, entry.oid))
    # From the last, as a submodule comes after the part that contains it, whose tree covers its commit.
    for number, (place, within, commit) in reversed([*enumerate(submodules, 1 + len(destinations))]):
        raw, found = commit.encode("latin-1", errors="replace"), tree_of_members(files[number])
        if not (named := _TREE.match(raw)) or named[1].decode() != found:
            raise ContextError(f"the submodule {place} has the hash {found}, which its commit does not name")
        if not 0 <= within < number or not is_below(places[number], places[within]):
            raise ContextError(f"the submodule {place} is in no part of the context")
        files[within].append((_within(places[within], places[number]), GITLINK, _object_id(b"commit", raw)))
    return combined_hash([tree_of_members(members) for members in files[: 1 + len(destinations)]])


def _within(place: bytes, path: bytes) -> bytes:
    return path[len(place) + 1 :] if place else path


def tree_of_members(files: Iterable[Member]) -> str:
    """The tree hash of a directory, from paths, modes and ids of all files, links and submodules below."""
    directories: dict[bytes, list[Member]] = {b"": []}
    for path, mode, oid in files:
        directory, _, name = path.rpartition(b"/")
        directories.setdefault(directory, []).append((name, mode, oid))
        while directory := directory.rpartition(b"/")[0]:
            directories.setdefault(directory, [])
    # Deepest first: the id of a tree covers the ids of its subtrees.
    for directory in sorted(directories, key=lambda path: path.count(b"/") + 1 if path else 0, reverse=True):
        tree = _tree_id(directories[directory])
        if directory:
            parent, _, name = directory.rpartition(b"/")
            directories[parent].append((name, DIRECTORY, tree))
    return tree


def _tree_id(members: Iterable[Member]) -> str:
    # "MODE NAME", a zero byte and the 20 bytes of the id for each member; sorted by name, directories as if
    # theirs ended in a slash: https://github.com/git/git/blob/v2.30.0/read-cache.c (base_name_compare)
    ordered = sorted(members, key=lambda member: member[0] + b"/" if member[1] == DIRECTORY else member[0])
    body = b"".join(mode.encode() + b" " + name + b"\0" + bytes.fromhex(oid) for name, mode, oid in ordered)
    return _object_id(b"tree", body)


def _object_id(kind: bytes, body: bytes) -> str:
    return hashlib.sha1(b"%b %d\0" % (kind, len(body)) + body, usedforsecurity=False).hexdigest()
