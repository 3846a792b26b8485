r"""The one form in which contexts are packed, byte for byte: GNU tar, so that any name but \0 survives.

Whoever reads accepts just what is written here. So no two readers of tar (this one, and the one in the
engine) can see different files in one context, and there is no header or gap in which anything could hide.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING

from farm.errors import ContextError
from farm.model import digest_from_hex

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

FILE, EXECUTABLE, SHARED, LINK, FOLDER = "100644", "100755", "100664", "120000", "40000"
"""The modes of git's trees; 100664 is found in old histories."""

PIECE = 1 << 20
_BLOCK = 512
_RECORD = 20 * _BLOCK
_SHORT = 100
_LONGEST = 1 << 16
"""Bytes of a name or a link's target: git and Linux allow less."""
_LONG = b"././@LongLink"
_LIMIT = 1 << 33  # a larger size does not fit into octal digits
_TYPES = {FILE: b"0", EXECUTABLE: b"0", SHARED: b"0", LINK: b"2", FOLDER: b"5"}
_BITS = {FILE: 0o644, EXECUTABLE: 0o755, SHARED: 0o664, LINK: 0o777, FOLDER: 0o755}
_MODES = {(_TYPES[mode], bits): mode for mode, bits in _BITS.items()}
_REFUSED = {b"1": "a hard link", b"3": "a device", b"4": "a device", b"6": "a named pipe"}


@dataclass(frozen=True, slots=True)
class Entry:
    """A file, symbolic link or directory of a context."""

    path: bytes
    mode: str
    """As in git's trees."""
    oid: str = ""
    """The hex name of its blob; directories have none."""
    size: int = 0
    """Bytes of a file; 0 for a link and a directory."""
    target: bytes = b""
    """Where a link points."""


class Writer:
    """Writes a tar, and sums it up on the way: `digest` and `size` hold what was written so far."""

    def __init__(self, into: IO[bytes], mtime: int) -> None:
        self.size = 0
        self._into, self._mtime, self._summary = into, mtime, hashlib.sha256()

    @property
    def digest(self) -> str:
        """sha256:... of what was written."""
        return digest_from_hex(self._summary.hexdigest())

    def add(self, entry: Entry, content: Iterable[bytes] = ()) -> None:
        """Write an entry; `content` is that of a file, in pieces that sum up to its size."""
        self._write(header(entry, self._mtime))
        for piece in content:
            self._write(piece)
        self._write(bytes(-self.size % _BLOCK))

    def close(self) -> None:
        """Write the end; the file below stays open."""
        self._write(bytes(2 * _BLOCK))
        self._write(bytes(-self.size % _RECORD))

    def _write(self, data: bytes) -> None:
        self._into.write(data)
        self._summary.update(data)
        self.size += len(data)


def header(entry: Entry, mtime: int) -> bytes:
    """What stands before the content of an entry; `mtime` is Unix time in seconds."""
    name = entry.path + b"/" if entry.mode == FOLDER else entry.path
    longs = [_long(b"K", entry.target), _long(b"L", name)]
    block = _block(
        _TYPES[entry.mode],
        name,
        size=entry.size,
        bits=_BITS[entry.mode],
        mtime=mtime,
        target=entry.target,
    )
    return b"".join([*longs, block])


def _long(kind: bytes, text: bytes) -> bytes:
    if len(text) < _SHORT:
        return b""
    padding = bytes(-(len(text) + 1) % _BLOCK)
    return _block(kind, _LONG, size=len(text) + 1) + text + b"\0" + padding


def _block(
    kind: bytes, name: bytes, *, size: int, bits: int = 0, mtime: int = 0, target: bytes = b""
) -> bytes:
    # Name, mode, owner, group, size, time; checksum; type, link; magic; no names of owners, no devices.
    front = name[:_SHORT].ljust(_SHORT, b"\0") + b"%07o\0%07o\0%07o\0" % (bits, 0, 0)
    front += _number(size) + _number(mtime)
    back = (kind + target[:_SHORT].ljust(_SHORT, b"\0") + b"ustar  \0").ljust(_BLOCK - len(front) - 8, b"\0")
    checksum = sum(front) + sum(back) + 8 * ord(" ")
    return front + b"%06o\0 " % checksum + back


def _number(value: int) -> bytes:
    return b"%011o\0" % value if value < _LIMIT else b"\x80" + value.to_bytes(11)


def read(tar: IO[bytes]) -> Iterator[Entry]:
    """The entries of a tar in their order, every byte of it looked at; memory does not grow with the files.

    Raises:
        ContextError: the tar is cut off, or is not in the form that `Writer` writes.
    """
    return _Reader(tar).entries()


class _Reader:
    def __init__(self, tar: IO[bytes]) -> None:
        self._tar = tar
        self._at = 0

    def entries(self) -> Iterator[Entry]:
        while any(block := self._take(_BLOCK)):
            yield self._entry(block)
        if any(self._take(_BLOCK + -(self._at + _BLOCK) % _RECORD)) or self._tar.read(1):
            raise self._odd("something follows its end")

    def _entry(self, block: bytes) -> Entry:
        start, raw, longs = self._at - _BLOCK, block, {b"K": b"", b"L": b""}
        while (kind := block[156:157]) in longs:
            size = self._size(block)
            if longs[kind] or size > _LONGEST:
                raise self._odd("a name is too long, or stands twice")
            text = self._take(size + -size % _BLOCK)
            longs[kind] = text[: size - 1]
            block = self._take(_BLOCK)
            raw += text + block
        entry = self._told(block, longs[b"L"], longs[b"K"])
        if header(entry, _value(block[136:148])) != raw:
            raise self._odd(f"the header at byte {start} is not as the farm writes it")
        return self._with_content(entry)

    def _told(self, block: bytes, name: bytes, target: bytes) -> Entry:
        kind, bits = block[156:157], _value(block[100:108])
        name = name or block[:_SHORT].rstrip(b"\0")
        if kind in _REFUSED:
            raise ContextError(f"the context holds {_REFUSED[kind]}: {shown(name)}")
        if (kind, bits) not in _MODES:
            raise ContextError(f"the context holds an entry of type {kind!r}, mode {bits:o}: {shown(name)}")
        mode = _MODES[kind, bits]
        if mode == FOLDER:
            return Entry(name.removesuffix(b"/"), mode, size=self._size(block))
        if mode == LINK:
            return Entry(name, mode, target=target or block[157:257].rstrip(b"\0"), size=self._size(block))
        return Entry(name, mode, size=self._size(block))

    def _with_content(self, entry: Entry) -> Entry:
        if entry.mode in (FOLDER, LINK):
            if entry.size:
                raise self._odd(f"{shown(entry.path)} has content")
            return (
                entry if entry.mode == FOLDER else _named(entry, blob_name([entry.target], len(entry.target)))
            )
        oid = blob_name(self._pieces(entry.size), entry.size)
        if any(self._take(-entry.size % _BLOCK)):
            raise self._odd(f"something follows {shown(entry.path)}")
        return _named(entry, oid)

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
            raise ContextError(f"the context is cut off at byte {self._at}", hint="submit the package again")
        return b"".join(parts)

    def _odd(self, what: str) -> ContextError:
        return ContextError(f"the context is damaged, or the farm did not pack it: {what}")


def _named(entry: Entry, oid: str) -> Entry:
    return Entry(entry.path, entry.mode, oid, entry.size, entry.target)


def _value(digits: bytes) -> int:
    if digits.startswith(b"\x80"):
        return int.from_bytes(digits[1:])
    octal = digits.rstrip(b"\0 ")
    try:
        return int(octal, 8) if octal.isdigit() else 0
    except ValueError:  # an 8 or a 9: the header is compared as a whole afterwards
        return 0


def blob_name(content: Iterable[bytes], size: int) -> str:
    """The hex name that git gives to a blob of this content and size."""
    summary = hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False)
    for piece in content:
        summary.update(piece)
    return summary.hexdigest()


def shown(path: bytes) -> str:
    """A path as it may stand in a message, whatever it holds."""
    text = path.decode(errors="backslashreplace")
    return text if text.isprintable() else repr(text)
