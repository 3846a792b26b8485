"""The uncommitted changes of a working tree, found without running a filter of git.

`git status` would run the filters that the configuration names, in submodules too. So they are turned off;
files in LFS are compared here, and submodules asked one by one.
"""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
import time
from bisect import bisect_left
from hashlib import file_digest
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from farm.package.attributes import read_conversions
from farm.package.forms import LFS, LONGEST_POINTER, Pointer
from farm.package.git import MOST_PATHS, checked_git, list_files, open_repository, read_at
from farm.package.git_process import without_filters
from farm.package.submodules import known_submodules
from farm.package.tree_hash import EXECUTABLE, is_below
from farm.settings import environment

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from farm.package.git import Repository, TreeFile

_IN_WORKING_TREE = b" M"
_UNTRACKED = b"??"
_LATER = 10.0
"""Seconds after which git believes the times of a file."""


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
    """The changes below the paths, and possibly elsewhere.

    https://git-scm.com/docs/git-status#_porcelain_format_version_1
    """
    wanted = sorted(set(paths))
    within = wanted if wanted and "" not in wanted and len(wanted) <= MOST_PATHS else [""]
    options = ["--porcelain", "-z", "--untracked-files=all", "--no-renames", "--ignored=no"]
    options += ["--ignore-submodules=dirty", "--", *(path or "." for path in within)]
    # With its optional lock on the index, a status could make a concurrent `git commit` fail.
    command = ["--no-optional-locks", "--literal-pathspecs", "status", *options]
    answer = checked_git(repository, *command, configuration=without_filters(repository.top))
    records = [(record[3:], record[:2]) for record in answer.split(b"\0") if record]
    modified = [path for path, code in records if code == _IN_WORKING_TREE]
    same = set(_unchanged(repository, modified, within)) if repository.commit and modified else set()
    changed = {path for path, _ in records if path not in same}
    changed.update(_changed_submodules(repository, within))
    return Changes(tuple(sorted(changed)), frozenset(path for path, code in records if code == _UNTRACKED))


def _unchanged(repository: Repository, modified: Sequence[bytes], within: Sequence[str]) -> Iterator[bytes]:
    """Those of the files with a filter that have not changed since they were checked out."""
    files = list_files(repository, within)
    conversions = read_conversions(repository, files)
    filtered = [path for path in modified if path in conversions and conversions[path].filter]
    in_lfs = [path for path in filtered if conversions[path].filter == LFS]
    yield from _unchanged_lfs(repository, in_lfs, files)
    # A filter that is not configured changes nothing, so that git has compared the content already.
    configured = {
        key.removeprefix("filter.").rpartition(".")[0] for key, _ in without_filters(repository.top)
    }
    if others := [path for path in filtered if path not in in_lfs and conversions[path].filter in configured]:
        yield from _untouched(repository, others)


def _untouched(repository: Repository, paths: Sequence[bytes]) -> Iterator[bytes]:
    """Those of the files that are as the index describes them: inode, size and times.

    Where a file may have changed right after the index was written, git reads it, and what its filter makes
    of it is not known here. So git sees the index as a later one. A push builds no such file.
    """
    top = repository.top
    answer = checked_git(repository, "rev-parse", "--path-format=absolute", "--git-path", "index")
    with tempfile.TemporaryDirectory(dir=tempfile.gettempdir()) as directory:
        index = shutil.copyfile(os.fsdecode(answer.rstrip(b"\n")), Path(directory, "index"))
        later = time.time() + _LATER
        os.utime(index, (later, later))
        command = ["--literal-pathspecs", "diff-files", "--name-only", "-z", "--", *map(os.fsdecode, paths)]
        touched = checked_git(
            repository,
            *command,
            environment={**environment(), "GIT_INDEX_FILE": str(index)},
            configuration=without_filters(top),
        )
    yield from set(paths) - set(touched.split(b"\0"))


def _unchanged_lfs(
    repository: Repository, in_lfs: Sequence[bytes], files: Mapping[bytes, TreeFile]
) -> Iterator[bytes]:
    """Those of the files whose content is what a committed pointer of LFS names."""
    for name, blob in read_at(repository, map(os.fsdecode, in_lfs), LONGEST_POINTER).items():
        pointer, file = Pointer.parse(blob), Path(repository.top, name)
        about = file.lstat()
        if not pointer or not stat.S_ISREG(about.st_mode) or about.st_size != pointer.size:
            continue
        if bool(about.st_mode & 0o100) != (files[os.fsencode(name)].mode == EXECUTABLE):
            continue
        with file.open("rb") as content:
            if file_digest(content, "sha256").hexdigest() == pointer.sha256:
                yield os.fsencode(name)


def _changed_submodules(repository: Repository, within: Sequence[str]) -> Iterator[bytes]:
    """The submodules that have changes, or have some in theirs."""
    directories = [os.fsencode(path) for path in within]
    for path in known_submodules(repository):
        top = Path(repository.top, os.fsdecode(path))
        if not any(is_below(path, directory) for directory in directories) or top.is_symlink():
            continue
        if (top / ".git").exists() and read_changes(open_repository(top), [""]).paths:
            yield path
