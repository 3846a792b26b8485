"""Files that git's status takes for changed because their filters are off, and that are not."""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
import time
from hashlib import file_digest
from pathlib import Path
from typing import TYPE_CHECKING

from farm.package.attributes import read_conversions
from farm.package.forms import LFS, LONGEST_POINTER, Pointer
from farm.package.git import checked_git, list_files, read_at
from farm.package.git_process import without_filters
from farm.package.tree_paths import EXECUTABLE
from farm.settings import environment

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from farm.package.git import Repository, TreeFile

_LATER = 10.0
"""Seconds after which git believes the times of a file."""


def unchanged(repository: Repository, modified: Sequence[bytes], within: Sequence[str]) -> Iterator[bytes]:
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
