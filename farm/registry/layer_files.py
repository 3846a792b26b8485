"""The files of a layer, read from a stream: memory depends neither on its size nor on what is in it."""

from __future__ import annotations

import hashlib
import tarfile
import zlib
from typing import TYPE_CHECKING, Any, NamedTuple

from farm.errors import RegistryError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

LARGEST_LAYER = 64 << 30
"""Bytes of an unpacked layer that are read."""
_LARGEST_HEADER = 1 << 20
"""Bytes of the header of one file, with its name and attributes."""
_PIECE = 1 << 16
# https://www.rfc-editor.org/rfc/rfc1952#page-6, https://www.rfc-editor.org/rfc/rfc8878#section-3.1.1
_GZIP, _ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
_GZIP_BITS = 31
_DAMAGED = (tarfile.TarError, zlib.error, ValueError, OverflowError, RecursionError)


class LayerFile(NamedTuple):
    """A file, directory, link or device of a layer."""

    path: str
    type: str
    mode: int
    owner: tuple[int, int, str, str]
    """Numbers and names of user and group."""
    time: float
    """Unix time, seconds."""
    link: str
    device: tuple[int, int]
    attributes: tuple[tuple[str, str], ...]
    """Extended attributes."""
    content: bytes
    """SHA-256 of the content of a file."""

    def changed(self, other: LayerFile) -> tuple[str, ...]:
        """The names of the properties in which two files differ."""
        return tuple(name for name, one, two in zip(self._fields, self, other, strict=True) if one != two)


def read_files(pieces: Iterable[bytes]) -> Iterator[LayerFile]:
    """The files of a layer in their order, from its bytes as the registry has them.

    Raises:
        RegistryError: it is no tar, or compressed in another way than with gzip, or too large.
    """
    stream = _Stream(unpacked(pieces))
    try:
        source: Any = stream
        archive: Any = tarfile.TarFile(fileobj=source, mode="r", encoding="utf-8", errors="surrogateescape")
        while (entry := archive.next()) is not None:
            # Otherwise the archive remembers all of them.
            archive.members.clear()
            yield _file(entry, stream)
        # The rest belongs to the digest of the layer.
        stream.skip(LARGEST_LAYER)
    except _DAMAGED as error:
        raise RegistryError(f"a layer cannot be read: {error}") from error


def _file(entry: tarfile.TarInfo, stream: _Stream) -> LayerFile:
    if entry.issparse():
        raise tarfile.TarError("sparse files are not read")
    content = stream.digest(entry.size) if entry.isreg() else b""
    attributes = ((name, value) for name, value in entry.pax_headers.items() if "xattr." in name)
    return LayerFile(
        entry.name.removeprefix("./"),
        entry.type.decode("ascii", "replace"),
        entry.mode,
        (entry.uid, entry.gid, entry.uname, entry.gname),
        entry.mtime,
        entry.linkname,
        (entry.devmajor, entry.devminor),
        tuple(sorted(attributes)),
        content,
    )


def unpacked(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The uncompressed bytes of a layer, in pieces of a limited size."""
    source = iter(pieces)
    start = b""
    for piece in source:
        start += piece
        if len(start) >= len(_ZSTD):
            break
    if start.startswith(_ZSTD):
        raise RegistryError("a layer is compressed with zstd, which is not read")
    plain = _gunzipped(start, source) if start.startswith(_GZIP) else _chained(start, source)
    size = 0
    for piece in plain:
        size += len(piece)
        if size > LARGEST_LAYER:
            raise RegistryError(f"a layer unpacks to more than {LARGEST_LAYER >> 30} GiB")
        yield piece


def _chained(start: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    yield start
    yield from rest


def _gunzipped(start: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    unpacker = zlib.decompressobj(wbits=_GZIP_BITS)
    for piece in _chained(start, rest):
        data = piece
        while data:
            if unpacker.eof:
                # https://www.rfc-editor.org/rfc/rfc1952#page-5: members may follow one another.
                unpacker = zlib.decompressobj(wbits=_GZIP_BITS)
            yield unpacker.decompress(data, _PIECE)
            data = unpacker.unconsumed_tail or unpacker.unused_data
    while not unpacker.eof:
        if not (last := unpacker.decompress(b"", _PIECE)):
            raise zlib.error("it ends too early")
        yield last


class _Stream:
    """What `tarfile` reads from: only forwards, and never much at once."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = iter(pieces)
        self._piece, self._used, self._position = b"", 0, 0

    def tell(self) -> int:
        return self._position

    def seek(self, position: int) -> None:
        if position < self._position:
            raise tarfile.TarError("it refers to what was read before")
        self.skip(position - self._position)

    def read(self, size: int) -> bytes:
        if not 0 <= size <= _LARGEST_HEADER:
            raise tarfile.TarError(f"a header has more than {_LARGEST_HEADER >> 20} MiB")
        return b"".join(self._take(size))

    def skip(self, size: int) -> None:
        for _ in self._take(size):
            pass

    def digest(self, size: int) -> bytes:
        """SHA-256 of the next bytes, which must all be there."""
        summary, left = hashlib.sha256(), size
        for part in self._take(size):
            summary.update(part)
            left -= len(part)
        if left:
            raise tarfile.TarError("it ends within a file")
        return summary.digest()

    def _take(self, size: int) -> Iterator[bytes]:
        """The next bytes; fewer at the end."""
        while size > 0:
            if self._used == len(self._piece):
                self._piece, self._used = next(self._pieces, b""), 0
                if not self._piece:
                    if not (more := next((one for one in self._pieces if one), b"")):
                        return
                    self._piece = more
            part = self._piece[self._used : self._used + size]
            self._used += len(part)
            self._position += len(part)
            size -= len(part)
            yield part
