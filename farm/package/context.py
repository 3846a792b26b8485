"""Build contexts: packed from git's objects at the submitter, checked against their tag at the worker."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING

from farm.errors import ContextError, DirtyError, InputError
from farm.package.context_entries import checked
from farm.package.tags import render_tag
from farm.package.tarball import EXECUTABLE, FILE, FOLDER, SHARED, Entry, Writer, read, shown
from farm.package.tree_hash import context_hash

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from farm.model import GitTree, Job, Package
    from farm.package.git_objects import Objects

_HASH = re.compile(r"[0-9a-f]{40}")
_HASH_WITHIN = re.compile(r"(?<![0-9a-f])[0-9a-f]{40}(?![0-9a-f])")


@dataclass(frozen=True, slots=True)
class Context:
    """A packed context: the sha256:... of the plain tar, and its size in bytes."""

    digest: str
    size: int


def pack(package: Package, into: IO[bytes]) -> Context:
    """Write the context of a committed package as a plain tar; the same content gives the same bytes.

    The working directory plays no part. Every entry carries the time of the last commit that touched it all.

    Raises:
        DirtyError: the package has uncommitted changes.
        InputError: it is not in git, its tag names something else, or its sources lie on one another.
        GitError: git cannot read its objects.
    """
    from farm.package.git_objects import opened  # noqa: PLC0415 - a worker verifies, and may have no git

    commit = _packable(package)
    places = [tree.dst for tree in package.trees[1:]]
    _check_places(package, places)
    with opened(package.repository) as objects:
        entries = _merged(package, objects)
        _check_hash(package, context_hash(entries, places))
        writer = Writer(into, objects.last_change(commit, [tree.path for tree in package.trees]))
        for entry in checked(entries):
            is_file = entry.mode in (FILE, EXECUTABLE, SHARED)
            writer.add(entry, objects.content(entry.oid) if is_file else ())
        writer.close()
    return Context(writer.digest, writer.size)


def _packable(package: Package) -> str:
    if package.dirty:
        raise DirtyError(
            f"{package.directory}: has uncommitted changes, and only committed content is packed",
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
                f"{package.directory}: the extra source's place {place!r} is not below the context"
            )
        if places.count(place) > 1:
            raise InputError(f"{package.directory}: two extra sources have the same place, {place}")


def _merged(package: Package, objects: Objects) -> list[Entry]:
    entries: dict[bytes, Entry] = {}
    for tree in package.trees:
        own = list(objects.entries(tree.tree, tree.dst))
        if tree.dst:
            own.append(Entry(tree.dst.encode(errors="surrogateescape"), FOLDER))
        for entry in own:
            _refuse_overlap(package, tree, entries, entry)
            entries[entry.path] = entry
    for place in [tree.dst for tree in package.trees[1:]]:
        _add_parents(package, place.encode(errors="surrogateescape"), entries)
    return [entries[path] for path in sorted(entries)]


def _refuse_overlap(package: Package, tree: GitTree, entries: dict[bytes, Entry], entry: Entry) -> None:
    if entry.path in entries:
        raise InputError(
            f"{package.directory}: the extra source {tree.path} brings {shown(entry.path)}, which is there",
            hint="give it another place",
        )


def _add_parents(package: Package, place: bytes, entries: dict[bytes, Entry]) -> None:
    while place := place.rpartition(b"/")[0]:
        if entries.setdefault(place, Entry(place, FOLDER)).mode != FOLDER:
            raise InputError(
                f"{package.directory}: an extra source goes below {shown(place)}, which is a file"
            )


def _check_hash(package: Package, found: str) -> None:
    if _HASH.fullmatch(package.hash) and package.hash != found:
        raise InputError(
            f"{package.directory}: its tag names {package.hash}, and its content hashes to {found}",
            hint="--hash-path and --hash are for tags; a worker refuses what its tag does not name",
        )


def verify(tar: IO[bytes], job: Job) -> None:
    """Check that a context is what the tag of its job names, reading it once to its end.

    Whatever looks like a git hash, in the tag or as the job's hash, must be the hash of this very content.
    Where neither does (the maintainer gave --hash v1), the tag is no promise about the content: then it is
    still checked that the hash gives the tag, and that the tar is one that `pack` could have written.

    Raises:
        ContextError: it is damaged, holds what no context holds, or hashes to something else.
    """
    found = context_hash(list(checked(read(tar))), job.destinations)
    tag = job.reference.tag or ""
    if _rendered(job) != tag:
        raise ContextError(f"the job's hash {job.hash} and template {job.tag} do not give its tag {tag}")
    for named in _names(job.hash, tag):
        if named != found:
            raise ContextError(
                f"the context hashes to {found}, but its tag names {named}", hint="submit the package again"
            )


def _rendered(job: Job) -> str:
    try:
        return render_tag(job.tag, job.hash)
    except InputError as error:
        raise ContextError(error.message) from error


def _names(*texts: str) -> Iterable[str]:
    return (named for text in texts for named in _HASH_WITHIN.findall(text))
