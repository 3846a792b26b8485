"""All files of a directory as they are, ignored ones too, and the tree that git would make of them."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

from farm.errors import ContextError, InputError
from farm.package.forms import blob_id, blob_start
from farm.package.tarball import PIECE, Blob, Entry, printable
from farm.package.tree_hash import context_hash
from farm.package.tree_paths import DIRECTORY, EXECUTABLE, FILE, SYMLINK

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from farm.model import GitTree


def tree_of(directory: Path) -> str:
    """The hash of the tree that git would make of all files of a directory; git's own files do not change.

    Raises:
        InputError: it contains something that git cannot store, such as a socket, or cannot be read.
    """
    return context_hash(_entries(os.fsencode(directory)), ())


class WorkingFiles:
    """The files of a package whose trees were made from them."""

    def __init__(self, repository: str) -> None:
        self._top = repository
        self._files: dict[bytes, bytes] = {}
        """Path in the context to path on this machine."""
        self.newest = 0
        """The time of the newest of the files, in seconds since 1970."""

    def entries(self, tree: GitTree) -> Iterator[Entry]:
        """Every file, link and directory that is not empty, at its place in the context."""
        top = os.fsencode(Path(self._top, tree.path))
        below = tree.dst.encode(errors="surrogateescape") + b"/" if tree.dst else b""
        for entry in _entries(top):
            place = below + entry.path
            self._files[place] = top + b"/" + entry.path
            self.newest = max(self.newest, int(os.lstat(self._files[place]).st_mtime))
            yield entry._replace(path=place)

    def contents(self, entries: Iterable[Entry]) -> Iterator[Blob]:
        """The content of each of these files in turn; a ContextError if one changed since `entries`."""
        return (Blob(entry.size, self._pieces(entry)) for entry in entries)

    def _pieces(self, entry: Entry) -> Iterator[bytes]:
        digest = hashlib.sha1(blob_start(entry.size), usedforsecurity=False)
        for piece in _pieces(self._files[entry.path], entry.size):
            digest.update(piece)
            yield piece
        if digest.hexdigest() != entry.oid:
            raise ContextError(f"{os.fsdecode(self._files[entry.path])}: changed while it was packed")


def _entries(top: bytes) -> list[Entry]:
    try:
        return _below(top, b"")
    except OSError as error:
        where = os.fsdecode(error.filename or top)
        raise InputError(f"{where}: cannot be read: {error.strerror or error}") from error


def _below(top: bytes, directory: bytes) -> list[Entry]:
    found: list[Entry] = []
    with os.scandir(top + b"/" + directory) as items:
        names = sorted((item for item in items if item.name != b".git"), key=lambda item: item.name)
    for item in names:
        path = directory + b"/" + item.name if directory else item.name
        if item.is_symlink():
            target = os.fsencode(Path(os.fsdecode(item.path)).readlink())
            found.append(Entry(path, SYMLINK, blob_id([target], len(target)), target=target))
        elif item.is_dir():
            inner = _below(top, path)
            found += [Entry(path, DIRECTORY), *inner] if inner else []
        elif item.is_file():
            about = item.stat()
            mode = EXECUTABLE if about.st_mode & 0o100 else FILE
            oid = blob_id(_pieces(item.path, about.st_size), about.st_size)
            found.append(Entry(path, mode, oid, about.st_size))
        else:
            raise InputError(f"{printable(item.path)}: is not a file, symbolic link or directory")
    return found


def _pieces(file: bytes, size: int) -> Iterator[bytes]:
    """As many bytes of a file, or all that it has."""
    with open(file, "rb") as content:  # noqa: PTH123 - its name may be any bytes
        while size and (piece := content.read(min(size, PIECE))):
            size -= len(piece)
            yield piece
