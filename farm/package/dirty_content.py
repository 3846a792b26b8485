"""The uncommitted content of a directory, as LinuxKit sums it up for a dirty tag."""

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
_PLAIN = re.compile(rb"[ !#-\[\]-~]*")
"""Printable ASCII, but for the quotation mark and the backslash."""


def contents(repository: Repository, directory: str, changes: Changes) -> Iterator[bytes]:
    """The bytes of the tracked files of a directory, then of its untracked ones, in pieces.

    LinuxKit passes over symbolic links, and over names that git quotes. Here they count where they are
    changed, so that a change always shows, and else not, so that the tag is LinuxKit's.
    """
    changed = set(changes.under(directory))
    tracked = tracked_files(repository, directory)
    untracked = sorted(path for path in changed if path in changes.untracked)
    for path in (*tracked, *untracked):
        if path in changed or not _quoted(path):
            yield from _content(os.fsencode(repository.top) + b"/" + path, links=path in changed)


def _quoted(path: bytes) -> bool:
    return _PLAIN.fullmatch(path) is None


def _content(path: bytes, *, links: bool) -> Iterator[bytes]:
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
