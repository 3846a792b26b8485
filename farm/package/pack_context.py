"""Build contexts as they are packed: from git's objects, the same bytes on every machine."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING

from farm.errors import InputError
from farm.package.committed import require_committed
from farm.package.context_entries import check_entries
from farm.package.git_objects import opened
from farm.package.object_ids import DIRECTORY, SYMLINK
from farm.package.tarball import Entry, TarWriter, printable
from farm.package.tree_hash import context_hash

if TYPE_CHECKING:
    from collections.abc import Sequence

    from farm.model import GitTree, Package
    from farm.package.git_objects import Objects

_HASH = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True, slots=True)
class Context:
    """A packed context: the digest (sha256:HEX) of the uncompressed tar, and its size in bytes."""

    digest: str
    size: int


def pack_context(package: Package, into: IO[bytes]) -> Context:
    """Write the context of a committed package as an uncompressed tar; the same content gives the same bytes.

    The working directory is not read. Every entry has the time of the last commit that changed the package.

    Raises:
        DirtyError: the package has uncommitted changes.
        InputError: it is not in git, its tag names other content, or its extra sources overlap.
        GitError: git cannot read its objects.
    """
    commit = require_committed(package)
    places = [tree.dst for tree in package.trees[1:]]
    _check_places(package, places)
    with opened(package.repository) as objects:
        entries = _merged(package, objects)
        _check_hash(package, context_hash(entries, places))
        writer = TarWriter(into, objects.last_change(commit, [tree.path for tree in package.trees]))
        for entry in check_entries(entries):
            is_file = entry.mode not in (DIRECTORY, SYMLINK)
            writer.add(entry, objects.content(entry.oid) if is_file else ())
        writer.close()
    return Context(writer.digest, writer.size)


def _check_places(package: Package, places: Sequence[str]) -> None:
    for place in places:
        parts = place.split("/")
        if place.startswith("/") or {"", ".", ".."} & set(parts):
            raise InputError(
                f"{package.directory}: the destination {place!r} of an extra source is not below the package"
            )
        if places.count(place) > 1:
            raise InputError(f"{package.directory}: two extra sources have the same destination, {place}")


def _merged(package: Package, objects: Objects) -> list[Entry]:
    entries: dict[bytes, Entry] = {}
    for tree in package.trees:
        own = list(objects.entries(tree.tree, tree.dst))
        if tree.dst:
            own.append(Entry(tree.dst.encode(errors="surrogateescape"), DIRECTORY))
        for entry in own:
            _refuse_overlap(package, tree, entries, entry)
            entries[entry.path] = entry
    for place in [tree.dst for tree in package.trees[1:]]:
        _add_parents(package, place.encode(errors="surrogateescape"), entries)
    return [entries[path] for path in sorted(entries)]


def _refuse_overlap(package: Package, tree: GitTree, entries: dict[bytes, Entry], entry: Entry) -> None:
    if entry.path in entries:
        raise InputError(
            f"{package.directory}: the extra source {tree.path} overwrites {printable(entry.path)}",
            hint="give it another destination",
        )


def _add_parents(package: Package, place: bytes, entries: dict[bytes, Entry]) -> None:
    while place := place.rpartition(b"/")[0]:
        if entries.setdefault(place, Entry(place, DIRECTORY)).mode != DIRECTORY:
            raise InputError(
                f"{package.directory}: the destination of an extra source is below {printable(place)}, a file"
            )


def _check_hash(package: Package, found: str) -> None:
    if _HASH.fullmatch(package.hash) and package.hash != found:
        raise InputError(
            f"{package.directory}: its tag names {package.hash}, but its content has the hash {found}",
            hint="--hash-path and --hash are for farm show-tag; workers verify what a tag names",
        )
