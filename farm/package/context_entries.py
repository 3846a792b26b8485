"""What a build context will contain, by git's listing of its trees, and every reason not to pack it.

A plan calls this for each package that has to be built, and a push again when it packs: neither can refuse
what the other accepts. GitPython is not needed, so a plan stays quick.
"""

from __future__ import annotations

import os
from bisect import bisect_left
from functools import cached_property
from typing import TYPE_CHECKING, Protocol

from farm.errors import ContextError, InputError
from farm.package.attributes import Conversion, read_conversions
from farm.package.git import Repository, is_shallow, list_files, repository_of
from farm.package.submodules import unknown_submodule
from farm.package.tarball import Entry, printable
from farm.package.tree_hash import context_hash
from farm.package.tree_paths import DIRECTORY, GITLINK, as_bytes, innermost
from farm.package.verify_context import check_entries

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from farm.model import GitTree, Package


class Source(Protocol):
    """Where the entries of trees come from."""

    def entries(self, tree: GitTree, /) -> Iterable[Entry]:
        """Every file, link, directory and submodule of a tree, at its place in the context."""


class Listing:
    """The files, links and directories below some directories at a commit; not targets, sizes and forms."""

    def __init__(self, repository: Repository, directories: Iterable[str]) -> None:
        self.repository = repository
        self.files = list_files(repository, directories)
        self._sorted = sorted(self.files.items())

    @cached_property
    def shallow(self) -> bool:
        """Whether the clone lacks the beginning of its history."""
        return is_shallow(self.repository.top)

    @cached_property
    def conversions(self) -> dict[bytes, Conversion]:
        """Path from the top to conversion, for the files that git converts."""
        return read_conversions(self.repository, self.files)

    def entries(self, tree: GitTree) -> Iterator[Entry]:
        """Every file, link, directory and submodule of a tree, at its place in the context."""
        inside = os.fsencode(tree.path) + b"/" if tree.path else b""
        place = tree.dst.encode(errors="surrogateescape") + b"/" if tree.dst else b""
        known = {b""}
        for path, file in self._sorted[bisect_left(self._sorted, (inside,)) :]:
            if not path.startswith(inside):
                return
            below = path.removeprefix(inside)
            for directory in _directories_of(below, known):
                yield Entry(place + directory, DIRECTORY)
            yield Entry(place + below, file.mode, file.oid)


def list_contents(packages: Iterable[Package]) -> dict[Repository, Listing]:
    """The listing of each repository and commit that has some of these packages; one git process each.

    Without those of submodules that are not checked out.
    """
    paths: dict[Repository, set[str]] = {}
    for package in packages:
        for part in package.parts if package.commit else ():
            if part.tree:
                paths.setdefault(repository_of(package, part), set()).add(part.path)
    return {repository: Listing(repository, found) for repository, found in paths.items()}


def context_entries(package: Package, sources: Mapping[Repository, Source]) -> list[Entry]:
    """The entries of a package's context in their order, without what their sources do not know.

    Raises:
        InputError: its extra sources overlap, or it has a submodule that git does not know.
        ContextError: it contains something that a context cannot, or git's objects are damaged.
    """
    entries = list(check_entries(_merged(package, sources)))
    found = context_hash(entries, *package.layout)
    if found != package.tree:
        raise ContextError(
            f"{package.directory}: its files have the hash {found}, but its trees {package.tree}",
            hint="run `git fsck`" if package.commit else "they changed meanwhile: run the command again",
        )
    return entries


def _directories_of(path: bytes, known: set[bytes]) -> Iterable[bytes]:
    """The directories of a path that are not known yet, outermost first; then they are."""
    new: list[bytes] = []
    while (path := path.rpartition(b"/")[0]) not in known:
        known.add(path)
        new.append(path)
    return reversed(new)


def _merged(package: Package, sources: Mapping[Repository, Source]) -> list[Entry]:
    places = [as_bytes(part.dst) for part in package.parts]
    entries: dict[bytes, Entry] = {}
    for number, part in enumerate(package.parts):
        for entry in sources[repository_of(package, part)].entries(part):
            if entry.mode == GITLINK:  # a part of its own
                if entry.path not in places:
                    raise unknown_submodule(package, printable(entry.path))
                continue
            inner = entry.mode == DIRECTORY or innermost(entry.path, places) == number
            _add_entry(package, part, entry if inner else entry._replace(part=number), entries)
            _add_directories(package, places[number], entries)
    return [entries[path] for path in sorted(entries)]


def _add_entry(package: Package, part: GitTree, entry: Entry, entries: dict[bytes, Entry]) -> None:
    before = entries.setdefault(entry.path, entry)
    if before is not entry and not before.mode == entry.mode == DIRECTORY:
        raise InputError(
            f"{package.directory}: the extra source {part.path} overwrites {printable(entry.path)}",
            hint="give it another destination",
        )


def _add_directories(package: Package, place: bytes, entries: dict[bytes, Entry]) -> None:
    """Add the directories down to the place of a part that has a file."""
    while place:
        if entries.setdefault(place, Entry(place, DIRECTORY)).mode != DIRECTORY:
            raise InputError(
                f"{package.directory}: the destination of an extra source is below {printable(place)}, a file"
            )
        place = place.rpartition(b"/")[0]
