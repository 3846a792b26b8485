"""Which references change when packages do: pure functions over the files of a commit."""

from __future__ import annotations

import posixpath
from bisect import bisect_left
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

from farm.bump.find_references import OWN, FoundReference, TagPattern
from farm.graph.order import in_order, reachable, reversed_edges
from farm.model import combined_hash
from farm.package.forms import blob_id
from farm.package.tags import render_tag
from farm.package.tree_hash import tree_of_members

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from farm.model import Package
    from farm.package.git import TreeFile


class NewTag(NamedTuple):
    """The tag that a package has, and the one that it will have; the same if its content does not change."""

    package: Package
    tag: str


class Change(NamedTuple):
    """A file whose references are rewritten."""

    path: str
    before: bytes
    after: bytes
    references: int
    """How many are rewritten."""


class Kept(NamedTuple):
    """A reference to another tag that is not rewritten."""

    path: str
    line: int
    reference: str
    why: str


class Bump(NamedTuple):
    """What a bump does."""

    tags: tuple[NewTag, ...]
    """The packages whose references are rewritten, each after those that it refers to."""
    changes: tuple[Change, ...]
    kept: tuple[Kept, ...]
    affected: tuple[Package, ...]
    """Whose references were asked for, and all packages that refer to them, directly or not."""


@dataclass(frozen=True)
class CommitFiles:
    """The files of a commit."""

    tree: Mapping[bytes, TreeFile]
    """Every file, link and submodule, by its path from the top."""
    texts: Mapping[str, bytes]
    """The content of the files whose references are rewritten, by path."""
    references: Mapping[str, Sequence[FoundReference]]
    """The references in them, in order."""

    @cached_property
    def _paths(self) -> list[bytes]:
        return sorted(self.tree)

    def tree_hash(self, directory: str, changed: Mapping[str, bytes]) -> str:
        """The tree hash of a directory if files had this content; "" is the top."""
        prefix = f"{directory}/".encode(errors="surrogateescape") if directory else b""
        first = bisect_left(self._paths, prefix)
        last = bisect_left(self._paths, prefix[:-1] + b"0") if prefix else len(self._paths)
        ids = {
            path.encode(errors="surrogateescape"): blob_id([content], len(content))
            for path, content in changed.items()
        }
        files = ((path, self.tree[path]) for path in self._paths[first:last])
        return tree_of_members(
            (path[len(prefix) :], file.mode, ids.get(path, file.oid)) for path, file in files
        )


class Targets(NamedTuple):
    """Whose references are rewritten: those of these packages, and of all whose content changes by that."""

    named: frozenset[str] = frozenset()
    """Names, as Reference.name."""
    to: Mapping[str, str] = {}
    """Name to the tag that its references get; it need not be one of the packages."""


def compute_bump(files: CommitFiles, packages: Sequence[Package], targets: Targets) -> Bump:
    """The new tags, and the files with them.

    A package changes if a file of it does, so packages are taken in the order in which they refer to each
    other: a new tag is final before anything refers to it.

    Raises:
        InputError: packages refer to one another in a cycle.
    """
    by_name = {package.reference.name: package for package in packages}
    covered = _Covered(packages, files.references)
    rewriting = _Rewriting(files, {**_patterns(packages), **_any_tag(targets.to)}, covered)
    needs = {name: rewriting.names_in(covered.paths_of(name)) - {name} for name in by_name}
    affected = reachable({*targets.named, *targets.to}, reversed_edges(needs))
    rewriting.tags.update(targets.to)
    for name in in_order([name for name in by_name if name in affected], needs):
        changed = rewriting.changed(covered.paths_of(name))
        if name not in targets.to and (changed or name in targets.named):
            package = by_name[name]
            rewriting.tags[name] = _tag(package, files, changed) if changed else str(package.reference.tag)
    tags = (NewTag(by_name[name], tag) for name, tag in rewriting.tags.items() if name in by_name)
    changes = tuple(rewriting.change(path) for path in sorted(rewriting.changed(files.references)))
    return Bump(
        tuple(tags),
        changes,
        tuple(rewriting.kept()),
        tuple(by_name[name] for name in by_name if name in affected),
    )


def _patterns(packages: Iterable[Package]) -> dict[str, TagPattern]:
    return {package.reference.name: TagPattern.of_template(package.yml.tag) for package in packages}


def _any_tag(names: Iterable[str]) -> dict[str, TagPattern]:
    return {name: TagPattern.of_any_tag() for name in names}


def _tag(package: Package, files: CommitFiles, changed: Mapping[str, bytes]) -> str:
    """The tag of a package if its files had this content."""
    trees = [tree.tree if tree.repository else files.tree_hash(tree.path, changed) for tree in package.trees]
    return render_tag(package.yml.tag, combined_hash(trees))


class _Covered:
    """Which files belong to the content of which packages."""

    def __init__(self, packages: Sequence[Package], paths: Iterable[str]) -> None:
        directories: dict[str, list[str]] = {}
        for package in packages:
            for tree in package.trees:
                if not tree.repository:
                    directories.setdefault(tree.path, []).append(package.reference.name)
        self._paths: dict[str, list[str]] = {}
        self._owners: dict[str, set[str]] = {}
        for path in paths:
            self._owners[path] = {name for at in _above(path) for name in directories.get(at, ())}
            for name in self._owners[path]:
                self._paths.setdefault(name, []).append(path)

    def paths_of(self, name: str) -> Sequence[str]:
        """The files of a package."""
        return self._paths.get(name, ())

    def owners(self, path: str) -> Collection[str]:
        """The packages that have this file."""
        return self._owners[path]


def _above(path: str) -> list[str]:
    """The directories that contain a path; the last one is "", the top."""
    found = []
    while path:
        path = posixpath.dirname(path)
        found.append(path)
    return found


class _Rewriting:
    """The files, rewritten for the new tags that are known."""

    def __init__(self, files: CommitFiles, patterns: Mapping[str, TagPattern], covered: _Covered) -> None:
        self.tags: dict[str, str] = {}
        """Name to new tag, in the order in which they became known."""
        self._files, self._patterns, self._covered = files, patterns, covered

    def names_in(self, paths: Iterable[str]) -> set[str]:
        """The names of the references in these files that may be rewritten."""
        return {one.name for path in paths for one in self._files.references[path] if self._free(path, one)}

    def changed(self, paths: Iterable[str]) -> dict[str, bytes]:
        """Path to new content, for those of the files that change."""
        return {path: self._rewrite(path, found) for path in paths if (found := self._edits(path))}

    def change(self, path: str) -> Change:
        """The change of a file that changes."""
        edits = self._edits(path)
        return Change(path, self._files.texts[path], self._rewrite(path, edits), len(edits))

    def kept(self) -> Iterable[Kept]:
        """The references to other tags that are not rewritten."""
        for path, references in sorted(self._files.references.items()):
            for one in references:
                why = one.kept or (OWN if one.name in self._covered.owners(path) else "")
                if why and self._new(one) not in (None, one.tag):
                    yield Kept(path, one.line, f"{one.name}:{one.tag}", why)

    def _free(self, path: str, one: FoundReference) -> bool:
        """Whether a reference may be rewritten."""
        matches = self._patterns[one.name].arch_of(one.tag) is not None
        return matches and not one.kept and one.name not in self._covered.owners(path)

    def _new(self, one: FoundReference) -> str | None:
        """The new tag of a reference; None if it gets none."""
        arch = self._patterns[one.name].arch_of(one.tag)
        return None if arch is None or one.name not in self.tags else f"{self.tags[one.name]}{arch}"

    def _edits(self, path: str) -> list[tuple[FoundReference, str]]:
        found = self._files.references[path]
        edits = ((one, self._new(one)) for one in found if one.name in self.tags and self._free(path, one))
        return [(one, new) for one, new in edits if new is not None and new != one.tag]

    def _rewrite(self, path: str, edits: Iterable[tuple[FoundReference, str]]) -> bytes:
        text, pieces, at = self._files.texts[path], [], 0
        for one, new in edits:
            pieces += [text[at : one.start], new.encode()]
            at = one.end
        return b"".join((*pieces, text[at:]))
