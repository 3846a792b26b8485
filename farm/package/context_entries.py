"""The rules for the entries of a build context, checked both when it is packed and when it is read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from farm.errors import ContextError
from farm.package.object_ids import DIRECTORY
from farm.package.tarball import printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from farm.package.tarball import Entry


def check_entries(entries: Iterable[Entry]) -> Iterator[Entry]:
    """The entries, each checked before it is yielded.

    Paths are relative, below the context, unique and in byte order; their parent is a directory that came
    before, so no entry can go through a symbolic link; and no directory is empty, because git has no empty
    directories.

    Raises:
        ContextError: a rule is broken.
    """
    last, directories, empty = b"", {b""}, set[bytes]()
    for entry in entries:
        _check_path(entry.path)
        if entry.path <= last:
            raise ContextError(f"the context contains {printable(entry.path)} twice, or out of order")
        parent = entry.path.rpartition(b"/")[0]
        if parent not in directories:
            raise ContextError(f"the context contains {printable(entry.path)} without its directory")
        empty.discard(parent)
        if entry.mode == DIRECTORY:
            directories.add(entry.path)
            empty.add(entry.path)
        last = entry.path
        yield entry
    if empty:
        raise ContextError(
            f"the context contains the empty directory {printable(min(empty))}, which git cannot store"
        )


def _check_path(path: bytes) -> None:
    if path.startswith(b"/"):
        raise ContextError(f"the context contains an absolute path: {printable(path)}")
    parts = path.split(b"/")
    if b".." in parts:
        raise ContextError(f"the context contains a path that leads out of it: {printable(path)}")
    if b"" in parts or b"." in parts or b"\0" in path:
        raise ContextError(f"the context contains a path that git cannot store: {printable(path)}")
