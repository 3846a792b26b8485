"""The tree hashes and uncommitted changes of packages, with a few git processes for each repository."""

from __future__ import annotations

import os
import re
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from farm.errors import GitError, InputError
from farm.model import GitTree, combined_hash
from farm.package.git import (
    Changes,
    ignore_rule,
    open_repository,
    read_changes,
    read_trees,
    top_of,
    tracked_files,
)
from farm.package.tags import dirty_hash
from farm.package.working_files import tree_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from farm.package.git import Repository
    from farm.package.read_packages import PackageSource
    from farm.package.tags import TagOptions

_PIECE = 1 << 20
_UNQUOTED = re.compile(rb"[ !#-\[\]-~]*")
"""Names that `git ls-files` does not quote: printable ASCII without the quotation mark and the backslash.

https://git-scm.com/docs/git-config#Documentation/git-config.txt-corequotePath
"""


class GitFacts(NamedTuple):
    """What git says about the packages of one repository."""

    repository: Repository
    trees: Mapping[str, str]
    """Directory, as a path from the top, to tree hash; without directories that are not in the commit."""
    changes: Changes

    def is_dirty(self, source: PackageSource) -> bool:
        """Whether the package has uncommitted changes."""
        return any(self.changes.under(_relative(self.repository, source, path)) for path in source.covered)

    def with_all_files(self, source: PackageSource, options: TagOptions) -> GitFacts:
        """The same with no commit, and trees of all files of the package's directories, ignored ones too."""
        hashed = () if options.fixed_hash else (source.hashed,)
        directories = (source.path, *hashed, *source.extras)
        paths = {_relative(self.repository, source, path): path for path in directories}
        trees = {relative: tree_of(path) for relative, path in paths.items()}
        return self._replace(repository=self.repository._replace(commit=None), trees=trees)

    def trees_of(self, source: PackageSource, options: TagOptions) -> tuple[GitTree, ...]:
        """The tree of the package, then those of its extra sources; none if one is missing and not needed."""
        trees = []
        for path, dst in source.places:
            relative = _relative(self.repository, source, path)
            if relative not in self.trees:
                if options.fixed_hash and not options.other_commit:
                    return ()
                subject = f"the extra source {relative or path} is" if dst else "is"
                raise self._not_in_git(source, subject, options)
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
        return dirty_hash(clean, (piece for path in (hashed, *changed) for piece in self._contents(path)))

    def _contents(self, directory: str) -> Iterator[bytes]:
        """The bytes of the tracked files of a directory, then of its untracked ones, in pieces.

        Linuxkit leaves out symbolic links, and names that git quotes, because it does not unquote them:
        https://github.com/linuxkit/linuxkit/blob/v1.8.2/src/cmd/linuxkit/pkglib/git.go (contentHash)
        Here they are read if they are changed, so that every change shows in the tag; otherwise they are left
        out, so that the tag is linuxkit's.
        """
        changed = set(self.changes.under(directory))
        untracked = sorted(changed & self.changes.untracked)
        for path in (*tracked_files(self.repository, directory), *untracked):
            if path in changed or _UNQUOTED.fullmatch(path):
                name = Path(os.fsdecode(os.fsencode(self.repository.top) + b"/" + path))
                yield from _read_file(name, links=path in changed)

    def _not_in_git(self, source: PackageSource, subject: str, options: TagOptions) -> GitError:
        if self.repository.commit is None:
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
            f"{source.directory}: {subject} not in git{at}",
            hint="git add and git commit it; a tag is made from git",
        )


def _read_file(name: Path, *, links: bool) -> Iterator[bytes]:
    try:
        kind = name.lstat().st_mode
        if stat.S_ISLNK(kind) and links:
            yield os.fsencode(name.readlink())
        if stat.S_ISREG(kind):
            with name.open("rb") as file:
                while piece := file.read(_PIECE):
                    yield piece
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        raise InputError(f"{name}: cannot be read: {error.strerror}") from error


def trees_outside_git(source: PackageSource) -> tuple[GitTree, ...]:
    """The trees of all files of a package that is in no repository."""
    return tuple(
        GitTree(os.path.relpath(path, source.path), tree_of(path), dst) for path, dst in source.places
    )


def read_facts(sources: Iterable[PackageSource], options: TagOptions) -> dict[Path | None, GitFacts]:
    """What git says about these packages, by the top directory of their repository."""
    groups: dict[Path, list[PackageSource]] = {}
    for source in sources:
        if top := top_of(source.path):
            groups.setdefault(top, []).append(source)
    return {top: _read_facts(top, group, options) for top, group in groups.items()}


def _read_facts(top: Path, sources: Sequence[PackageSource], options: TagOptions) -> GitFacts:
    repository = open_repository(top, options.hash_commit)
    covered = [_relative(repository, source, path) for source in sources for path in source.covered]
    own = [_relative(repository, source, source.path) for source in sources]
    with ThreadPoolExecutor(1) as pool:
        trees = pool.submit(read_trees, repository, (*own, *covered))
        # Another commit has no uncommitted changes.
        changes = Changes() if options.other_commit else read_changes(repository, covered)
        return GitFacts(repository, trees.result(), changes)


def _relative(repository: Repository, source: PackageSource, path: Path) -> str:
    """The path from the top; "" for the top itself."""
    if not path.is_relative_to(repository.top):
        raise GitError(f"{source.directory}: {path} is outside its repository {repository.top}")
    relative = path.relative_to(repository.top).as_posix()
    return "" if relative == "." else relative
