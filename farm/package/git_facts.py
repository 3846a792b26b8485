"""The tree hashes and uncommitted changes of packages, with a few git processes for each repository."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from farm.errors import GitError
from farm.model import GitTree
from farm.package.dirty_files import read_contents
from farm.package.git import Changes, Repository, open_repository, read_changes, read_trees, top_of
from farm.package.tags import combined_hash, dirty_hash

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from farm.package.sources import PackageSource
    from farm.package.tag_options import TagOptions


@dataclass(frozen=True, slots=True)
class GitFacts:
    """What git says about the packages of one repository."""

    repository: Repository
    trees: Mapping[str, str]
    """Directory, as a path from the top, to tree hash; without directories that are not in the commit."""
    changes: Changes

    def is_dirty(self, source: PackageSource) -> bool:
        """Whether the package has uncommitted changes."""
        return any(self.changes.under(_relative(self.repository, source, path)) for path in source.covered)

    def trees_of(self, source: PackageSource, options: TagOptions) -> tuple[GitTree, ...]:
        """The tree of the package, then those of its extra sources; none if one is missing and not needed.

        Raises:
            GitError: one is not in the commit, and no fixed hash is given.
        """
        places = ("", *(extra.dst for extra in source.yml.extra_sources))
        trees = []
        for path, dst in zip((source.path, *source.extras), places, strict=True):
            relative = _relative(self.repository, source, path)
            if relative not in self.trees:
                if options.fixed_hash:
                    return ()
                raise self._not_in_git(source, f"{relative or path} " if dst else "", options)
            trees.append(GitTree(relative, self.trees[relative], dst))
        return tuple(trees)

    def hash_of(self, source: PackageSource, trees: Sequence[GitTree], *, dirty: bool) -> str:
        """The hash of a package, as linuxkit computes it from its trees and, if dirty, its files.

        https://github.com/linuxkit/linuxkit/blob/v1.8.2/src/cmd/linuxkit/pkglib/pkglib.go (NewFromConfig)
        """
        hashed = _relative(self.repository, source, source.hashed)
        clean = combined_hash([self.trees[hashed], *(tree.tree for tree in trees[1:])])
        if not dirty:
            return clean
        # Linuxkit does not read extra sources. Changed ones are read here, so that every change shows.
        changed = [tree.path for tree in trees[1:] if self.changes.under(tree.path)]
        return dirty_hash(
            clean,
            (
                piece
                for path in (hashed, *changed)
                for piece in read_contents(self.repository, path, self.changes)
            ),
        )

    def _not_in_git(self, source: PackageSource, extra: str, options: TagOptions) -> GitError:
        if self.repository.commit is None:
            return GitError(
                f"{source.directory}: its repository has no commits yet", hint="git add and git commit it"
            )
        at = f" at {options.hash_commit}" if options.other_commit else ""
        subject = f"the extra source {extra}is" if extra else "is"
        return GitError(
            f"{source.directory}: {subject} not in git{at}",
            hint="git add and git commit it; a tag is made from git",
        )


def read_facts(sources: Iterable[PackageSource], options: TagOptions) -> dict[Path | None, GitFacts]:
    """What git says about these packages, by the top directory of their repository.

    Raises:
        GitError: git cannot read a repository, or a directory is outside the package's repository.
    """
    groups: dict[Path, list[PackageSource]] = {}
    for source in sources:
        top = top_of(source.path)
        if top:
            groups.setdefault(top, []).append(source)
    return {top: _read_facts(top, group, options) for top, group in groups.items()}


def _read_facts(top: Path, sources: Sequence[PackageSource], options: TagOptions) -> GitFacts:
    repository = open_repository(top, options.hash_commit)
    covered = [_relative(repository, source, path) for source in sources for path in source.covered]
    own = [_relative(repository, source, source.path) for source in sources]
    trees = read_trees(repository, (*own, *covered))
    # Another commit has no uncommitted changes.
    changes = Changes() if options.other_commit else read_changes(repository, covered)
    return GitFacts(repository, trees, changes)


def _relative(repository: Repository, source: PackageSource, path: Path) -> str:
    relative = repository.relative(path)
    if relative is None:
        raise GitError(f"{source.directory}: {path} is outside its repository {repository.top}")
    return relative
