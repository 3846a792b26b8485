"""The exact form of a build context: a subset of GNU tar, which can hold names of any bytes and length.

The reader accepts only what the writer writes, byte for byte. So this reader and the engine's cannot see
different files in one context, and nothing can be hidden in a header or in padding.

https://www.gnu.org/software/tar/manual/html_node/Standard.html
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, NamedTuple

from farm.errors import ContextError
from farm.model import digest_from_hex
from farm.package.forms import FORMS, PLAIN, blob_id, committed_id
from farm.package.tree_paths import DIRECTORY, EXECUTABLE, FILE, GROUP_WRITABLE, SYMLINK

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

PIECE = 1 << 20
_BLOCK = 512
_RECORD = 20 * _BLOCK
"""A tar is padded to whole records of 20 blocks."""
_AT_ONCE = 1 << 16
"""Bytes that are written together: headers, padding and small files."""
_NAME_FIELD = 100
_OWNER_FIELD = 32
_LONGEST = 1 << 16
"""Bytes of a name or a link's target; git and Linux allow fewer."""
_LONG_LINK = b"././@LongLink"
_OCTAL = re.compile(rb"[0-7]+")
_OCTAL_LIMIT = 1 << 33
"""Sizes from here on do not fit into eleven octal digits."""
_TYPES = {FILE: b"0", EXECUTABLE: b"0", GROUP_WRITABLE: b"0", SYMLINK: b"2", DIRECTORY: b"5"}
_BITS = {FILE: 0o644, EXECUTABLE: 0o755, GROUP_WRITABLE: 0o664, SYMLINK: 0o777, DIRECTORY: 0o755}
_MODES = {(_TYPES[mode], bits): mode for mode, bits in _BITS.items()}
_FORM_OF = {form.encode(): form for form in FORMS}
_REFUSED = {b"1": "a hard link", b"3": "a device", b"4": "a device", b"6": "a named pipe"}


class Entry(NamedTuple):
    """A file, symbolic link or directory of a context."""

    path: bytes
    mode: str
    """As in git's trees."""
    oid: str = ""
    """The hex id of its blob; directories have none."""
    size: int = 0
    """Bytes of a file; 0 for a link and a directory."""
    target: bytes = b""
    """The target of a link."""
    form: str = PLAIN
    """How the content of a file differs from its blob."""
    part: int | None = None
    """The number of the part of the context that a file or link is from; None for the innermost there."""


class Blob(NamedTuple):
    """The size of a file in bytes, and its content in pieces."""

    size: int
    pieces: Iterator[bytes]

    def read(self) -> bytes:
        """All of its content at once."""
        return b"".join(self.pieces)


@dataclass(frozen=True, slots=True)
class Context:
    """A packed context: the digest (sha256:HEX) of the uncompressed tar, and its size in bytes."""

    digest: str
    size: int
    mtime: int = field(default=0, compare=False)
    """The time of its files, Unix time in seconds."""


class TarWriter:
    """Writes a tar."""

    def __init__(self, into: IO[bytes], mtime: int) -> None:
        self._into, self._mtime, self._sha256, self._size = into, mtime, hashlib.sha256(), 0
        self._unwritten: list[bytes] = []
        self._waiting = 0
        """Bytes that are not written yet."""

    def add(self, entry: Entry, content: Iterable[bytes] = ()) -> None:
        """Write an entry; `content` is that of a file, in pieces whose sizes add up to its size."""
        self._write(header(entry, self._mtime))
        for piece in content:
            self._write(piece)
        self._write(bytes(-self._size % _BLOCK))

    def close(self) -> Context:
        """Write the end of the tar; does not close the file."""
        self._write(bytes(2 * _BLOCK))
        self._write(bytes(-self._size % _RECORD))
        self._flush()
        return Context(digest_from_hex(self._sha256.hexdigest()), self._size, self._mtime)

    def _write(self, data: bytes) -> None:
        self._unwritten.append(data)
        self._size += len(data)
        self._waiting += len(data)
        if self._waiting >= _AT_ONCE:
            self._flush()

    def _flush(self) -> None:
        data = b"".join(self._unwritten)
        self._into.write(data)
        self._sha256.update(data)
        self._unwritten, self._waiting = [], 0


def header(entry: Entry, mtime: int) -> bytes:
    """The header of an entry, after those of a long name or target; `mtime` is Unix time in seconds."""
    name = entry.path + b"/" if entry.mode == DIRECTORY else entry.path
    longs = [_long(b"K", entry.target), _long(b"L", name)]
    kind, bits = _TYPES[entry.mode], _BITS[entry.mode]
    # No engine reads the names of owner and group: they say in which form a file is, and of which part.
    names = (entry.form.encode(), b"" if entry.part is None else b"%d" % entry.part)
    block = _block(kind, name, size=entry.size, bits=bits, mtime=mtime, target=entry.target, names=names)
    return b"".join([*longs, block])


def _long(kind: bytes, text: bytes) -> bytes:
    """The entry for a name (type L) or link target (type K) that does not fit into the header."""
    if len(text) < _NAME_FIELD:
        return b""
    padding = bytes(-(len(text) + 1) % _BLOCK)
    return _block(kind, _LONG_LINK, size=len(text) + 1) + text + b"\0" + padding


def _block(
    kind: bytes,
    name: bytes,
    *,
    size: int,
    bits: int = 0,
    mtime: int = 0,
    target: bytes = b"",
    names: tuple[bytes, bytes] = (b"", b""),
) -> bytes:
    # struct posix_header with GNU's magic: name, mode, uid, gid, size, mtime; chksum; typeflag, linkname,
    # magic and version, uname, gname. The rest (devices, prefix) is zero.
    front = name[:_NAME_FIELD].ljust(_NAME_FIELD, b"\0") + b"%07o\0%07o\0%07o\0" % (bits, 0, 0)
    front += _number(size) + _number(mtime)
    back = kind + target[:_NAME_FIELD].ljust(_NAME_FIELD, b"\0") + b"ustar  \0"
    back += b"".join(text.ljust(_OWNER_FIELD, b"\0") for text in names)
    # Most of it is zeros, which add nothing: without them the sum takes a quarter of the time.
    checksum = sum((front + back).translate(None, b"\0")) + 8 * ord(" ")
    return (front + b"%06o\0 " % checksum + back).ljust(_BLOCK, b"\0")


def _number(value: int) -> bytes:
    """Twelve bytes: octal digits, or GNU's base 256, marked by the highest bit."""
    return b"%011o\0" % value if value < _OCTAL_LIMIT else b"\x80" + value.to_bytes(11)


class TarReader:
    """Reads a tar as `TarWriter` writes it; any other is a ContextError. Files are not kept in memory."""

    def __init__(self, tar: IO[bytes]) -> None:
        self._tar = tar
        self._at = 0

    def entries(self) -> Iterator[Entry]:
        """The entries in their order; checks every byte."""
        while any(block := self._take(_BLOCK)):
            yield self._entry(block)
        if any(self._take(_BLOCK + -(self._at + _BLOCK) % _RECORD)) or self._tar.read(1):
            raise self._malformed("data after its end")

    def _entry(self, block: bytes) -> Entry:
        start, raw, longs = self._at - _BLOCK, block, {b"K": b"", b"L": b""}
        while (kind := block[156:157]) in longs:
            size = self._size(block)
            if longs[kind] or size > _LONGEST:
                raise self._malformed("a name is too long or occurs twice")
            text = self._take(size + -size % _BLOCK)
            longs[kind] = text[: size - 1]
            block = self._take(_BLOCK)
            raw += text + block
        entry = self._parse(block, longs[b"L"], longs[b"K"])
        # Write the header again and compare: this checks the fields that are not parsed, and the checksum.
        if header(entry, _value(block[136:148])) != raw:
            raise self._malformed(f"the header at byte {start} differs from what the farm writes")
        return self._with_content(entry)

    def _parse(self, block: bytes, name: bytes, target: bytes) -> Entry:
        kind, bits = block[156:157], _value(block[100:108])
        name = name or block[:_NAME_FIELD].rstrip(b"\0")
        if kind in _REFUSED:
            raise ContextError(f"the context contains {_REFUSED[kind]}: {printable(name)}")
        if (kind, bits) not in _MODES:
            raise ContextError(
                f"the context contains an entry of type {kind!r}, mode {bits:o}: {printable(name)}"
            )
        mode, size, group = _MODES[kind, bits], self._size(block), block[297:329].rstrip(b"\0")
        part = int(group) if group.isdigit() else None
        if mode == SYMLINK:
            return Entry(name, mode, target=target or block[157:257].rstrip(b"\0"), size=size, part=part)
        if mode == DIRECTORY:
            return Entry(name.removesuffix(b"/"), mode, size=size, part=part)
        form = _FORM_OF.get(block[265:297].rstrip(b"\0"), PLAIN)
        return Entry(name, mode, size=size, form=form, part=part)

    def _with_content(self, entry: Entry) -> Entry:
        if entry.mode in (DIRECTORY, SYMLINK) and entry.size:
            raise self._malformed(f"{printable(entry.path)} has content")
        if entry.mode == DIRECTORY:
            return entry
        if entry.mode == SYMLINK:
            return entry._replace(oid=blob_id([entry.target], len(entry.target)))
        oid = committed_id(entry.form, self._pieces(entry.size), entry.size)
        if any(self._take(-entry.size % _BLOCK)):
            raise self._malformed(f"data after {printable(entry.path)}")
        return entry._replace(oid=oid)

    def _pieces(self, size: int) -> Iterator[bytes]:
        while size:
            piece = self._take(min(size, PIECE))
            size -= len(piece)
            yield piece

    def _size(self, block: bytes) -> int:
        return _value(block[124:136])

    def _take(self, count: int) -> bytes:
        parts = []
        while count and (part := self._tar.read(count)):
            parts.append(part)
            self._at += len(part)
            count -= len(part)
        if count:
            raise ContextError(
                f"the context is truncated at byte {self._at}", hint="submit the package again"
            )
        return b"".join(parts)

    def _malformed(self, what: str) -> ContextError:
        return ContextError(f"the context is damaged or was not packed by the farm: {what}")


def _value(digits: bytes) -> int:
    if digits.startswith(b"\x80"):
        return int.from_bytes(digits[1:])
    octal = digits.rstrip(b"\0 ")
    # Of anything else than octal digits it is 0, and the comparison of the header will fail.
    return int(octal, 8) if _OCTAL.fullmatch(octal) else 0


def printable(path: bytes) -> str:
    """A path for a message, escaped if it contains unprintable characters."""
    text = path.decode(errors="backslashreplace")
    return text if text.isprintable() else repr(text)
