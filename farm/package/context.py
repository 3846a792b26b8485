"""Build contexts: packed from git's objects by the submitter, verified against their tag by workers."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING

from farm.errors import ContextError, DirtyError, InputError
from farm.package.context_entries import check_entries
from farm.package.object_ids import DIRECTORY, SYMLINK
from farm.package.tags import render_tag
from farm.package.tarball import Entry, TarWriter, printable, read_entries
from farm.package.tree_hash import context_hash

if TYPE_CHECKING:
    from collections.abc import Sequence

    from farm.model import GitTree, Job, Package
    from farm.package.git_objects import Objects

_HASH = re.compile(r"[0-9a-f]{40}")
_HASH_WITHIN = re.compile(r"(?<![0-9a-f])[0-9a-f]{40}(?![0-9a-f])")


@dataclass(frozen=True, slots=True)
class Context:
    """A packed context: the digest (sha256:HEX) of the uncompressed tar, and its size in bytes."""

    digest: str
    size: int


def pack(package: Package, into: IO[bytes]) -> Context:
    """Write the context of a committed package as an uncompressed tar; the same content gives the same bytes.

    The working directory is not read. Every entry has the time of the last commit that changed the package.

    Raises:
        DirtyError: the package has uncommitted changes.
        InputError: it is not in git, its tag names other content, or its extra sources overlap.
        GitError: git cannot read its objects.
    """
    from farm.package.git_objects import opened  # noqa: PLC0415 - workers only verify, and may have no git

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


def require_committed(package: Package) -> str:
    """The commit of a package whose tag names committed content.

    Raises:
        DirtyError: the package has uncommitted changes.
        InputError: it is not in git.
    """
    if package.dirty:
        raise DirtyError(
            f"{package.directory}: has uncommitted changes, but a tag names committed content",
            hint="commit or stash them; `git status` shows which",
        )
    if not package.commit:
        raise InputError(f"{package.directory}: is not in git", hint="git init, git add and git commit it")
    return package.commit


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


def verify(tar: IO[bytes], job: Job) -> None:
    """Check that a context is what the tag of its job names; reads it once, to its end.

    Every git hash in the tag, and the job's hash if it is one, must be the hash of the content. If neither is
    (as with --hash v1), the tag promises nothing about the content: then only the tag's template and the form
    of the tar are checked.

    Raises:
        ContextError: it is damaged, contains something that a context cannot, or has another hash.
    """
    found = context_hash(list(check_entries(read_entries(tar))), job.destinations)
    tag = job.reference.tag or ""
    if _rendered(job) != tag:
        raise ContextError(f"the job's hash {job.hash} and template {job.tag} do not give its tag {tag}")
    for named in _HASH_WITHIN.findall(f"{job.hash} {tag}"):
        if named != found:
            raise ContextError(
                f"the context has the hash {found}, but its tag names {named}",
                hint="submit the package again",
            )


def _rendered(job: Job) -> str:
    try:
        return render_tag(job.tag, job.hash)
    except InputError as error:
        raise ContextError(error.message) from error
