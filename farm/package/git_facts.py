"""The tree hashes and uncommitted changes of packages, with a few git processes for each repository."""

from __future__ import annotations

import os
from contextlib import ExitStack, contextmanager
from itertools import chain
from typing import TYPE_CHECKING, NamedTuple

from farm.errors import GitError
from farm.model import GitTree, combined_hash
from farm.package.changes import Changes, asking_changes
from farm.package.git import (
    INCLUDE_IGNORED,
    Repository,
    asking_repository,
    ignore_rule,
    read_trees,
    top_of,
)
from farm.package.git_process import asking_filters

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from farm.package.git_process import Configuration
    from farm.package.read_packages import PackageSource
    from farm.package.tags import TagOptions


class GitFacts(NamedTuple):
    """What git says about the packages of one repository."""

    repository: Repository
    changes: Changes
    trees: Mapping[Path, str]
    """Directory to tree hash, for extra sources elsewhere too; without those that are not in a commit."""
    others: Mapping[Path, GitFacts]
    """Directory to the facts of its repository, for extra sources in other repositories."""

    def is_dirty(self, source: PackageSource) -> bool:
        """Whether the package has uncommitted changes."""
        return any(self._at(path).changed(path) for path in source.covered)

    def refuse_outside_git(self, source: PackageSource, options: TagOptions) -> None:
        """Raise a GitError for an extra source that is in no repository."""
        for path, extra in zip(source.extras, source.yml.extra_sources, strict=True):
            if not path.is_relative_to(self._at(path).repository.top):
                raise _extra_not_in_git(source, path, extra.src, options)

    def changed(self, directory: Path) -> tuple[bytes, ...]:
        """The changes below a directory of this repository."""
        return self.changes.under(self.repository.relative(directory))

    def with_all_files(self, source: PackageSource, options: TagOptions) -> GitFacts:
        """The same with no commit, and trees of all files of the package's directories, ignored ones too."""
        hashed = () if options.fixed_hash else (source.hashed,)
        trees = {path: _tree_of(path) for path in (source.path, *hashed, *source.extras)}
        return self._replace(repository=self.repository._replace(commit=None), trees=trees)

    def trees_of(self, source: PackageSource, options: TagOptions) -> tuple[GitTree, ...]:
        """The tree of the package, then those of its extra sources; none if one is missing and not needed."""
        trees: list[GitTree] = []
        for path, dst in source.places:
            if path not in self.trees:
                if options.fixed_hash and not options.other_commit:
                    return ()
                raise self._not_in_git(source, path, options, number=len(trees))
            at = self._at(path)
            tree = GitTree(at.repository.relative(path), self.trees[path], dst)
            if at.repository.top != self.repository.top:
                commit = at.repository.commit if self.repository.commit else None
                tree = tree._replace(repository=at.repository.top, commit=commit or "")
            trees.append(tree)
        return tuple(trees)

    def hash_of(
        self, source: PackageSource, trees: Sequence[GitTree], *, dirty: bool, ignored: bool = False
    ) -> str:
        """The hash of a package, as linuxkit computes it from its trees and, if dirty, its files.

        With `ignored` that of a dirty package covers all of its files, which linuxkit's does not.

        https://github.com/linuxkit/linuxkit/blob/v1.8.2/src/cmd/linuxkit/pkglib/pkglib.go (NewFromConfig)
        """
        clean = combined_hash([self.trees[source.hashed], *(tree.tree for tree in trees[1:])])
        if not dirty:
            return clean
        from farm.package.dirty_files import contents, dirty_hash  # noqa: PLC0415 - most packages are clean

        # Linuxkit does not read extra sources. Changed ones are read here, so that every change shows.
        read = (source.hashed, *(path for path in source.extras if self._at(path).changed(path)))
        facts = ((self._at(path), path) for path in read)
        pieces = (piece for at, path in facts for piece in contents(at.repository, at.changes, path))
        whole = (_tree_of(path).encode() for path in ((source.path, *source.extras) if ignored else ()))
        return dirty_hash(clean, chain(pieces, whole))

    def _at(self, directory: Path) -> GitFacts:
        return self.others.get(directory, self)

    def _not_in_git(self, source: PackageSource, path: Path, options: TagOptions, *, number: int) -> GitError:
        if number:
            return _extra_not_in_git(source, path, source.yml.extra_sources[number - 1].src, options)
        if self.repository.commit is self.repository.tree is None:
            return GitError(
                f"{source.directory}: its repository has no commits yet", hint="git add and git commit it"
            )
        at = f" at {options.hash_commit}" if options.other_commit else ""
        if not options.other_commit and (rule := ignore_rule(source.path)):
            return GitError(
                f"{source.directory}: git ignores it ({rule}), and a tag is made from git",
                hint="--include-ignored makes the tag from its files, --hash gives one",
            )
        return GitError(
            f"{source.directory}: is not in git{at}",
            hint="git add and git commit it; a tag is made from git",
        )


def _extra_not_in_git(source: PackageSource, path: Path, src: str, options: TagOptions) -> GitError:
    at = f" at {options.hash_commit}" if options.other_commit else ""
    what, hint = f"is not in git{at}", "git add and git commit it; a tag is made from git"
    if path.is_file():
        what, hint = "is a file, not a directory", "name the directory of the file"
    elif not path.exists() and not at:
        what, hint = "does not exist", "see `extra-sources` in build.yml"
    elif path.is_dir() and not top_of(path):
        what, hint = "is in no git repository", "a tag is made from git: copy it into one, or git init it"
    elif not at and (rule := ignore_rule(path)):
        what, hint = f"is ignored by git ({rule})", INCLUDE_IGNORED
    return GitError(f"{source.directory}: the extra source {src} {what}", hint=hint)


def _tree_of(directory: Path) -> str:
    from farm.package.working_files import tree_of  # noqa: PLC0415 - most trees are those of a commit

    return tree_of(directory)


def trees_outside_git(source: PackageSource) -> tuple[GitTree, ...]:
    """The trees of all files of a package that is in no repository."""
    return tuple(
        GitTree(os.path.relpath(path, source.path), _tree_of(path), dst) for path, dst in source.places
    )


class _Asked(NamedTuple):
    """What git was asked about a repository; each call waits for its answer."""

    repository: Callable[[], Repository]
    filters_off: Callable[[], Configuration]


@contextmanager
def _asking(top: Path, options: TagOptions) -> Iterator[_Asked]:
    with ExitStack() as stack:
        repository = stack.enter_context(asking_repository(top, options.hash_commit))
        if options.other_commit:  # which has no uncommitted changes, so that no filter is run
            yield _Asked(repository, tuple)
        else:
            yield _Asked(repository, stack.enter_context(asking_filters(str(top))))


class FactReader:
    """Asks git about packages, and about the repository of the first while their build.yml are read."""

    def __init__(self, options: TagOptions, begun: Mapping[Path, _Asked]) -> None:
        self._options = options
        self._begun = begun

    @staticmethod
    @contextmanager
    def started(paths: Iterable[Path], options: TagOptions) -> Iterator[FactReader]:
        """A reader for packages in these directories."""
        first = next(filter(None, map(top_of, paths)), None)
        with ExitStack() as stack:
            begun = {first: stack.enter_context(_asking(first, options))} if first else {}
            yield FactReader(options, begun)

    def read(self, sources: Iterable[PackageSource]) -> dict[Path | None, GitFacts]:
        """What git says about these packages, by the top directory of their repository."""
        wanted: dict[Path, list[Path]] = {}
        for source in sources:
            if not (top := source.top):
                continue
            if not source.hashed.is_relative_to(top):
                raise GitError(f"{source.directory}: {source.hashed} is outside its repository {top}")
            wanted.setdefault(top, []).extend((source.path, source.hashed))
            for path in source.extras:
                if other := top_of(path):
                    wanted.setdefault(other, []).append(path)
        found = {top: self._read(top, paths) for top, paths in wanted.items()}
        trees = {path: tree for one in found.values() for path, tree in one.trees.items()}
        others = {path: found[top] for top, paths in wanted.items() for path in paths}
        return {top: one._replace(trees=trees, others=others) for top, one in found.items()}

    def _read(self, top: Path, directories: Sequence[Path]) -> GitFacts:
        if top in self._begun:
            return self._facts(self._begun[top], directories)
        with _asking(top, self._options) as asked:
            return self._facts(asked, directories)

    def _facts(self, asked: _Asked, directories: Sequence[Path]) -> GitFacts:
        repository = asked.repository()
        names = {path: repository.relative(path) for path in directories}
        if self._options.other_commit:  # which has no uncommitted changes
            found, changes = read_trees(repository, names.values()), Changes()
        else:
            with asking_changes(repository, names.values(), asked.filters_off()) as answer:
                found, changes = read_trees(repository, names.values()), answer()
        trees = {path: found[name] for path, name in names.items() if name in found}
        return GitFacts(repository, changes, trees, {})
