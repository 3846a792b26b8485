"""The files of a committed package as git would check them out, without a working tree and without drivers.

Conversions that follow from the commit are made: line ends, $Id$, and LFS, whose pointer identifies the
content. Other drivers make what only their owner can verify, so they are refused.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from farm.errors import ContextError, InputError
from farm.package.attributes import Conversion, read_conversions
from farm.package.forms import (
    LFS,
    LONGEST_POINTER,
    LONGEST_TEXT,
    Pointer,
    blob_id,
    checked_out,
    claims_pointer,
    committed_id,
)
from farm.package.git import list_files
from farm.package.tarball import PIECE, Entry, printable
from farm.package.tree_hash import DIRECTORY, GITLINK, SYMLINK

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from farm.model import GitTree
    from farm.package.git import Repository
    from farm.package.git_objects import Objects

_FROM_FILES = "`farm build --force-dirty` builds the files of the working directory"


def refuse_driver(directory: str, path: bytes, conversion: Conversion) -> None:
    """Refuse a file that only a program or a table of this machine could make from what is committed."""
    what = (
        f"git's filter {conversion.filter}"
        if conversion.filter not in ("", LFS)
        else f"working-tree-encoding={conversion.encoding}"
        if conversion.encoding
        else ""
    )
    if what:
        raise InputError(
            f"{directory}: {printable(path)} is changed on checkout by {what}, which no worker can verify",
            hint=f"remove the attribute; {_FROM_FILES}",
        )


def read_pointer(directory: str, path: bytes, blob: bytes) -> Pointer | None:
    """The pointer in a blob of LFS; None for content that was committed itself, which git-lfs leaves."""
    pointer = Pointer.parse(blob)
    if pointer is None and claims_pointer(blob):
        raise InputError(
            f"{directory}: what is committed for {printable(path)} is not a valid pointer of git-lfs, "
            "so its content is not known",
            hint="run `git lfs fsck`, and commit the file again",
        )
    return pointer


def find_content(directory: str, path: bytes, pointer: Pointer, repository: str, common: Path) -> Path:
    """The file that holds the content of a pointer: in the store of git-lfs, or else as checked out."""
    stored = common / "lfs/objects" / pointer.sha256[:2] / pointer.sha256[2:4] / pointer.sha256
    for found in (stored, Path(repository, os.fsdecode(path))):
        if found.is_file() and found.stat().st_size == pointer.size:
            return found
    raise InputError(
        f"{directory}: the content of {printable(path)} is in LFS and not on this machine",
        hint="git lfs pull",
    )


def refuse_long_text(directory: str, path: bytes, size: int) -> None:
    """Refuse a text that is too large to be converted."""
    if size > LONGEST_TEXT:
        raise InputError(
            f"{directory}: {printable(path)} is too large to convert its text",
            hint=f"set `{path.decode(errors='replace')} -text -ident` in .gitattributes",
        )


def convert_text(
    directory: str, path: bytes, blob: bytes, oid: str, conversion: Conversion
) -> tuple[str, bytes]:
    """The form and content of a text as git checks it out; refuses one whose blob does not follow from it."""
    form, content = checked_out(blob, oid, conversion)
    if committed_id(form, [content], len(content)) != oid:
        raise InputError(
            f"{directory}: {printable(path)} is not committed as its attributes say: "
            f"line ends or $Id$ cannot be restored from what git checks out",
            hint="run `git add --renormalize` and commit it",
        )
    return form, content


class Checkout:
    """The files of a committed package in one repository."""

    def __init__(
        self, directory: str, repository: Repository, objects: Objects, paths: Sequence[str]
    ) -> None:
        """Take the package's directory, for messages, and the paths whose trees will be asked for."""
        self._directory, self._repository, self._objects = directory, repository, objects
        self._conversions = read_conversions(repository, list_files(repository, paths))
        self._converted: dict[bytes, Conversion | Path] = {}
        """Entry to what its content is made by, or is in."""

    def entries(self, tree: GitTree) -> Iterator[Entry]:
        """Every file, link and directory of a tree, at its place in the context."""
        above = os.fsencode(tree.path) + b"/" if tree.path else b""
        below = tree.dst.encode(errors="surrogateescape") + b"/" if tree.dst else b""
        for entry in self._objects.entries(tree.tree):
            path = above + entry.path
            placed = replace(entry, path=below + entry.path)
            conversion = self._conversions.get(path)
            if conversion is None or entry.mode in (DIRECTORY, GITLINK, SYMLINK):
                yield placed
            else:
                yield self._convert(path, placed, conversion)

    def content(self, entry: Entry) -> Iterator[bytes]:
        """The content of a file in pieces; read them all before the next call."""
        source = self._converted.get(entry.path)
        if isinstance(source, Path):
            return _content_of_pointer(entry, source)
        if source:
            return iter([checked_out(self._blob(entry), entry.oid, source)[1]])
        return self._objects.content(entry.oid)

    def _blob(self, entry: Entry) -> bytes:
        return b"".join(self._objects.content(entry.oid))

    def _convert(self, path: bytes, entry: Entry, conversion: Conversion) -> Entry:
        directory = self._directory
        refuse_driver(directory, path, conversion)
        if conversion.filter:
            pointer = entry.size <= LONGEST_POINTER and read_pointer(directory, path, self._blob(entry))
            if pointer:
                found = find_content(
                    directory, path, pointer, self._repository.top, self._objects.common_directory
                )
                self._converted[entry.path] = found
                return replace(entry, size=pointer.size, form=LFS)
        return self._convert_text(path, entry, conversion)

    def _convert_text(self, path: bytes, entry: Entry, conversion: Conversion) -> Entry:
        if not conversion.crlf and not conversion.ident:
            return entry
        refuse_long_text(self._directory, path, entry.size)
        form, content = convert_text(self._directory, path, self._blob(entry), entry.oid, conversion)
        if form:
            self._converted[entry.path] = conversion
        return replace(entry, size=len(content), form=form)


def _content_of_pointer(entry: Entry, source: Path) -> Iterator[bytes]:
    left, digest = entry.size, hashlib.sha256()
    with source.open("rb") as file:
        while left and (piece := file.read(min(left, PIECE))):
            digest.update(piece)
            left -= len(piece)
            yield piece
    text = Pointer(digest.hexdigest(), entry.size).text
    if left or blob_id([text], len(text)) != entry.oid:
        raise ContextError(
            f"{source}: is not the content that its LFS pointer names", hint="git lfs fsck, git lfs pull"
        )
