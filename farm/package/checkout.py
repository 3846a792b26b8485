"""The files of a committed package as git would check them out, without a working tree and without drivers.

Conversions that follow from the commit are made: line ends, $Id$, and LFS, whose pointer identifies the
content. Other drivers make what only their owner can verify, so they are refused.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

from farm.errors import ContextError, InputError
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
from farm.package.tarball import PIECE, Blob, Entry, printable
from farm.package.tree_paths import DIRECTORY, GITLINK, SYMLINK, as_bytes

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from farm.model import GitTree
    from farm.package.attributes import Conversion
    from farm.package.context_entries import Listing
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

    def __init__(self, directory: str, listing: Listing, objects: Objects) -> None:
        """Take the package's directory, for messages, and the files of its repository."""
        self._directory, self._listing, self._objects = directory, listing, objects
        self._converted: dict[bytes, Conversion | Path] = {}
        """Path in the context to what its content is made by, or is in."""

    def entries(self, tree: GitTree) -> Iterator[Entry]:
        """Every file, link and directory of a tree, at its place in the context; files without their size."""
        listed = list(self._listing.entries(tree))
        conversions = [self._conversion(tree, entry) for entry in listed]
        read = [
            entry.oid
            for entry, conversion in zip(listed, conversions, strict=True)
            if conversion or entry.mode == SYMLINK
        ]
        blobs = self._objects.contents(read)
        for entry, conversion in zip(listed, conversions, strict=True):
            if conversion:
                yield self._convert(tree, entry, conversion, next(blobs))
            elif entry.mode == SYMLINK:
                yield entry._replace(target=next(blobs).read())
            else:
                yield entry

    def contents(self, entries: Sequence[Entry]) -> Iterator[Blob]:
        """The content of each of these files in turn; git begins at once to read them."""
        sources = [self._converted.get(entry.path) for entry in entries]
        read = [
            entry.oid for entry, source in zip(entries, sources, strict=True) if not isinstance(source, Path)
        ]
        return self._contents(entries, sources, self._objects.contents(read))

    def _contents(
        self, entries: Iterable[Entry], sources: Iterable[Conversion | Path | None], blobs: Iterator[Blob]
    ) -> Iterator[Blob]:
        for entry, source in zip(entries, sources, strict=True):
            if isinstance(source, Path):
                yield Blob(entry.size, _content_of_pointer(entry, source))
            elif source:
                text = checked_out(next(blobs).read(), entry.oid, source)[1]
                yield Blob(len(text), iter([text]))
            else:
                yield next(blobs)

    def _conversion(self, tree: GitTree, entry: Entry) -> Conversion | None:
        if entry.mode in (DIRECTORY, GITLINK, SYMLINK) or not self._listing.conversions:
            return None
        return self._listing.conversions.get(_committed_path(tree, entry))

    def _convert(self, tree: GitTree, entry: Entry, conversion: Conversion, blob: Blob) -> Entry:
        directory, path = self._directory, _committed_path(tree, entry)
        refuse_driver(directory, path, conversion)
        if conversion.filter and blob.size <= LONGEST_POINTER:
            content = blob.read()
            blob = Blob(blob.size, iter([content]))
            if pointer := read_pointer(directory, path, content):
                top = self._listing.repository.top
                found = find_content(directory, path, pointer, top, self._objects.common_directory)
                self._converted[entry.path] = found
                return entry._replace(size=pointer.size, form=LFS)
        if not conversion.crlf and not conversion.ident:
            return entry
        refuse_long_text(directory, path, blob.size)
        form, _ = convert_text(directory, path, blob.read(), entry.oid, conversion)
        if form:
            self._converted[entry.path] = conversion
        return entry._replace(form=form)


def _committed_path(tree: GitTree, entry: Entry) -> bytes:
    """The path of an entry in its repository."""
    inside = entry.path.removeprefix(as_bytes(tree.dst) + b"/") if tree.dst else entry.path
    return os.fsencode(tree.path) + b"/" + inside if tree.path else inside


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
