"""The tree hashes and uncommitted changes of packages, with a few git processes for each repository."""

from __future__ import annotations

import os
import re
import stat
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from farm.errors import GitError, InputError
from farm.model import GitTree, combined_hash
from farm.package.changes import Changes, read_changes
from farm.package.git import (
    INCLUDE_IGNORED,
    Repository,
    ignore_rule,
    open_repository,
    read_trees,
    top_of,
    tracked_files,
)
from farm.package.tags import dirty_hash
from farm.package.working_files import tree_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

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
        return self.changes.under(_relative(self.repository, directory))

    def with_all_files(self, source: PackageSource, options: TagOptions) -> GitFacts:
        """The same with no commit, and trees of all files of the package's directories, ignored ones too."""
        hashed = () if options.fixed_hash else (source.hashed,)
        trees = {path: tree_of(path) for path in (source.path, *hashed, *source.extras)}
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
            tree = GitTree(_relative(at.repository, path), self.trees[path], dst)
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
        # Linuxkit does not read extra sources. Changed ones are read here, so that every change shows.
        read = (source.hashed, *(path for path in source.extras if self._at(path).changed(path)))
        contents = (piece for path in read for piece in self._at(path).contents(path))
        whole = (tree_of(path).encode() for path in ((source.path, *source.extras) if ignored else ()))
        return dirty_hash(clean, chain(contents, whole))

    def _at(self, directory: Path) -> GitFacts:
        return self.others.get(directory, self)

    def contents(self, directory: Path) -> Iterator[bytes]:
        """The bytes of the tracked files of a directory, then of its untracked ones, in pieces.

        Linuxkit leaves out symbolic links, and names that git quotes, because it does not unquote them:
        https://github.com/linuxkit/linuxkit/blob/v1.8.2/src/cmd/linuxkit/pkglib/git.go (contentHash)
        Here they are read if they are changed, so that every change shows in the tag; otherwise they are left
        out, so that the tag is linuxkit's.
        """
        changed = set(self.changed(directory))
        untracked = sorted(changed & self.changes.untracked)
        for path in (*tracked_files(self.repository, _relative(self.repository, directory)), *untracked):
            if path in changed or _UNQUOTED.fullmatch(path):
                name = Path(os.fsdecode(os.fsencode(self.repository.top) + b"/" + path))
                yield from _read_file(name, links=path in changed)
                if path in changed and _has_repository(name):
                    yield from _read_submodule(name)

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


def _has_repository(name: Path) -> bool:
    """Whether this is the top of a repository, and not a link to one, which could lead back here."""
    return not name.is_symlink() and (name / ".git").exists()


def _read_submodule(top: Path) -> Iterator[bytes]:
    """What is checked out of a changed submodule: linuxkit leaves it out; here every change shows."""
    for path in tracked_files(Repository(str(top), None), "", untracked=True):
        name = Path(os.fsdecode(os.fsencode(top) + b"/" + path))
        yield from _read_file(name, links=True)
        if _has_repository(name):
            yield from _read_submodule(name)


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


def trees_outside_git(source: PackageSource) -> tuple[GitTree, ...]:
    """The trees of all files of a package that is in no repository."""
    return tuple(
        GitTree(os.path.relpath(path, source.path), tree_of(path), dst) for path, dst in source.places
    )


def read_facts(sources: Iterable[PackageSource], options: TagOptions) -> dict[Path | None, GitFacts]:
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
    found = {top: _read_facts(top, paths, options) for top, paths in wanted.items()}
    trees = {path: tree for one in found.values() for path, tree in one.trees.items()}
    others = {path: found[top] for top, paths in wanted.items() for path in paths}
    return {top: one._replace(trees=trees, others=others) for top, one in found.items()}


def _read_facts(top: Path, directories: Sequence[Path], options: TagOptions) -> GitFacts:
    repository = open_repository(top, options.hash_commit)
    names = {path: _relative(repository, path) for path in directories}
    with ThreadPoolExecutor(1) as pool:
        trees = pool.submit(read_trees, repository, names.values())
        # Another commit has no uncommitted changes.
        changes = Changes() if options.other_commit else read_changes(repository, names.values())
        found = trees.result()
    return GitFacts(
        repository, changes, {path: found[name] for path, name in names.items() if name in found}, {}
    )


def _relative(repository: Repository, path: Path) -> str:
    """The path from the top; "" for the top itself."""
    relative = path.relative_to(repository.top).as_posix()
    return "" if relative == "." else relative
