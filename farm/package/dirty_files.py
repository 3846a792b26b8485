"""What the files of a package with uncommitted changes add to its tag."""

from __future__ import annotations

import hashlib
import os
import re
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from farm.errors import InputError
from farm.package.git import Repository, tracked_files

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from farm.package.changes import Changes

_PIECE = 1 << 20
_DIRTY_DIGITS = 7
_UNQUOTED = re.compile(rb"[ !#-\[\]-~]*")
"""Names that `git ls-files` does not quote: printable ASCII without the quotation mark and the backslash.

https://git-scm.com/docs/git-config#Documentation/git-config.txt-corequotePath
"""


def dirty_hash(clean: str, contents: Iterable[bytes]) -> str:
    """HASH-dirty-XXXXXXX, from the hash without the changes and the files, in pieces of any size."""
    digest = hashlib.sha256()
    for piece in contents:
        digest.update(piece)
    return f"{clean}-dirty-{digest.hexdigest()[:_DIRTY_DIGITS]}"


def contents(repository: Repository, changes: Changes, directory: Path) -> Iterator[bytes]:
    """The bytes of the tracked files of a directory, then of its untracked ones, in pieces.

    Linuxkit leaves out symbolic links, and names that git quotes, because it does not unquote them:
    https://github.com/linuxkit/linuxkit/blob/v1.8.2/src/cmd/linuxkit/pkglib/git.go (contentHash)
    Here they are read if they are changed, so that every change shows in the tag; otherwise they are left
    out, so that the tag is linuxkit's.
    """
    relative = repository.relative(directory)
    changed = set(changes.under(relative))
    untracked = sorted(changed & changes.untracked)
    for path in (*tracked_files(repository, relative), *untracked):
        if path in changed or _UNQUOTED.fullmatch(path):
            name = Path(os.fsdecode(os.fsencode(repository.top) + b"/" + path))
            yield from _read_file(name, links=path in changed)
            if path in changed and _has_repository(name):
                yield from _read_submodule(name)


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
