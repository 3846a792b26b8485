"""The uncommitted changes of a working tree, found without running a filter of git.

`git status` would run the filters that the configuration names, in submodules too. So they are turned off;
files in LFS are compared here, and submodules asked one by one.
"""

from __future__ import annotations

import os
from bisect import bisect_left
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from farm.package.git import MOST_PATHS, asking_checked_git, open_repository
from farm.package.git_process import without_filters
from farm.package.submodules import known_submodules
from farm.package.tree_paths import is_below

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from farm.package.git import Repository
    from farm.package.git_process import Configuration

_IN_WORKING_TREE = b" M"
_UNTRACKED = b"??"


class Changes(NamedTuple):
    """Changed and untracked files, as sorted paths from the top, without ignored ones."""

    paths: tuple[bytes, ...] = ()
    untracked: frozenset[bytes] = frozenset()

    def under(self, directory: str) -> tuple[bytes, ...]:
        """The changes below a directory; "" is the top."""
        if not directory:
            return self.paths
        prefix = os.fsencode(directory)
        first = bisect_left(self.paths, prefix + b"/")
        after = bisect_left(self.paths, prefix + b"0")  # the byte that follows "/"
        return self.paths[first:after]


def read_changes(repository: Repository, paths: Iterable[str]) -> Changes:
    """The changes below the paths, and possibly elsewhere."""
    with asking_changes(repository, paths, without_filters(repository.top)) as changes:
        return changes()


@contextmanager
def asking_changes(
    repository: Repository, paths: Iterable[str], filters_off: Configuration
) -> Iterator[Callable[[], Changes]]:
    """Ask git for the same, and yield what waits for the answer; `filters_off` is of `without_filters`.

    https://git-scm.com/docs/git-status#_porcelain_format_version_1
    """
    wanted = sorted(set(paths))
    within = wanted if wanted and "" not in wanted and len(wanted) <= MOST_PATHS else [""]
    options = ["--porcelain", "-z", "--untracked-files=all", "--no-renames", "--ignored=no"]
    options += ["--ignore-submodules=dirty", "--", *(path or "." for path in within)]
    # With its optional lock on the index, a status could make a concurrent `git commit` fail.
    command = ["--no-optional-locks", "--literal-pathspecs", "status", *options]
    with asking_checked_git(repository, *command, configuration=filters_off) as answer:
        yield lambda: _changes(repository, within, answer(b""))


def _changes(repository: Repository, within: Sequence[str], answer: bytes) -> Changes:
    records = [(record[3:], record[:2]) for record in answer.split(b"\0") if record]
    modified = [path for path, code in records if code == _IN_WORKING_TREE]
    same: set[bytes] = set()
    if repository.commit and modified:
        from farm.package.unchanged import unchanged  # noqa: PLC0415 - it takes 8 ms, and most files are not

        same = set(unchanged(repository, modified, within))
    changed = {path for path, _ in records if path not in same}
    changed.update(_changed_submodules(repository, within))
    return Changes(tuple(sorted(changed)), frozenset(path for path, code in records if code == _UNTRACKED))


def _changed_submodules(repository: Repository, within: Sequence[str]) -> Iterator[bytes]:
    """The submodules that have changes, or have some in theirs."""
    directories = [os.fsencode(path) for path in within]
    for path in known_submodules(repository):
        top = Path(repository.top, os.fsdecode(path))
        if not any(is_below(path, directory) for directory in directories) or top.is_symlink():
            continue
        if (top / ".git").exists() and read_changes(open_repository(top), [""]).paths:
            yield path
