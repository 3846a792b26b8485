"""The files that the hash of a dirty tag covers."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from farm.errors import InputError
from farm.package.git import tracked_files

if TYPE_CHECKING:
    from collections.abc import Iterator

    from farm.package.git import Changes, Repository

_PIECE = 1 << 20
_UNQUOTED = re.compile(rb"[ !#-\[\]-~]*")
"""Names that `git ls-files` does not quote: printable ASCII without the quotation mark and the backslash.

https://git-scm.com/docs/git-config#Documentation/git-config.txt-corequotePath
"""


def read_contents(repository: Repository, directory: str, changes: Changes) -> Iterator[bytes]:
    """The bytes of the tracked files of a directory, then of its untracked ones, in pieces.

    Linuxkit leaves out symbolic links, and names that git quotes, because it does not unquote them:
    https://github.com/linuxkit/linuxkit/blob/v1.8.2/src/cmd/linuxkit/pkglib/git.go (contentHash)
    Here they are read if they are changed, so that every change shows in the tag; otherwise they are left
    out, so that the tag is linuxkit's.
    """
    changed = set(changes.under(directory))
    tracked = tracked_files(repository, directory)
    untracked = sorted(path for path in changed if path in changes.untracked)
    for path in (*tracked, *untracked):
        if path in changed or _UNQUOTED.fullmatch(path):
            yield from _read_file(os.fsencode(repository.top) + b"/" + path, links=path in changed)


def _read_file(path: bytes, *, links: bool) -> Iterator[bytes]:
    name = Path(os.fsdecode(path))
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
