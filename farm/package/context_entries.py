"""Which entries a context may hold, and in which order: one set of rules for packing and for reading."""

from __future__ import annotations

from typing import TYPE_CHECKING

from farm.errors import ContextError
from farm.package.tarball import FOLDER, shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from farm.package.tarball import Entry


def checked(entries: Iterable[Entry]) -> Iterator[Entry]:
    """The entries as they come, each checked before it is passed on.

    Paths are relative and stay below the context, are in the order of their bytes and stand once; what they
    lie in is a directory that came before; no directory is empty, since git knows of none.

    Raises:
        ContextError: a rule is broken.
    """
    last, folders, empty = b"", {b""}, set[bytes]()
    for entry in entries:
        _check_path(entry.path)
        if entry.path <= last:
            raise ContextError(f"the context holds {shown(entry.path)} twice, or out of order")
        parent = entry.path.rpartition(b"/")[0]
        if parent not in folders:
            raise ContextError(f"the context holds {shown(entry.path)}, which lies in no directory of it")
        empty.discard(parent)
        if entry.mode == FOLDER:
            folders.add(entry.path)
            empty.add(entry.path)
        last = entry.path
        yield entry
    if empty:
        raise ContextError(
            f"the context holds the empty directory {shown(min(empty))}, and git knows of none"
        )


def _check_path(path: bytes) -> None:
    if path.startswith(b"/"):
        raise ContextError(f"the context holds an absolute name: {shown(path)}")
    parts = path.split(b"/")
    if b".." in parts:
        raise ContextError(f"the context holds a name that leads out of it: {shown(path)}")
    if b"" in parts or b"." in parts or b"\0" in path:
        raise ContextError(f"the context holds a name that git has not: {shown(path)}")
