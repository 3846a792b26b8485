"""Layers are kept as gzip: by ISA-L where it runs, three times as fast as zlib, and by zlib elsewhere."""

from __future__ import annotations

import gzip
import hashlib
import zlib
from typing import IO, TYPE_CHECKING, Any, cast

from farm.cache.blobs import PIECE

if TYPE_CHECKING:
    from pathlib import Path

    from farm.cache.blobs import BlobWriter

isal_zlib: Any
try:
    from isal import isal_zlib
except ImportError:  # there is no wheel of it for s390x and riscv64
    isal_zlib = zlib

DAMAGED = (EOFError, gzip.BadGzipFile, zlib.error, isal_zlib.error)
"""What reading a compressed layer raises where it is cut off or altered."""

GZIP, ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
_GZIP_BITS = 31
"""zlib's word for its largest window with a gzip header, which holds no time and no name."""
_LEVEL = 1


class Packer:
    """Compresses a plain layer into a blob; `diff_id` sums up what went in."""

    def __init__(self, into: BlobWriter, codec: Any = isal_zlib) -> None:
        self._into, self._summary = into, hashlib.sha256()
        self._packer = codec.compressobj(level=_LEVEL, wbits=_GZIP_BITS)

    @property
    def diff_id(self) -> str:
        """sha256:... of the plain layer."""
        return f"sha256:{self._summary.hexdigest()}"

    def write(self, data: bytes) -> None:
        """Take the next piece."""
        self._summary.update(data)
        self._into.write(self._packer.compress(data))

    def close(self) -> None:
        """Write the end; nothing may follow."""
        self._into.write(self._packer.flush())


def diff_id(path: Path) -> str | None:
    """sha256:... of a layer's plain bytes; None for a compression that is not understood here.

    Raises:
        OSError: it cannot be read.
        DAMAGED: what is read is no layer.
    """
    summary = hashlib.sha256()
    with path.open("rb") as raw:
        file = plain(raw)
        while file and (piece := file.read(PIECE)):
            summary.update(piece)
    return f"sha256:{summary.hexdigest()}" if file else None


def plain(raw: IO[bytes]) -> IO[bytes] | None:
    """A layer's file as its plain bytes; None for a compression that is not understood here."""
    start = raw.read(len(ZSTD))
    raw.seek(0)
    if start.startswith(GZIP):
        return cast("IO[bytes]", _gzip_file(raw))
    return None if start == ZSTD else raw


def _gzip_file(raw: IO[bytes]) -> Any:
    if isal_zlib is zlib:
        return gzip.GzipFile(fileobj=raw, mode="rb")
    from isal import igzip  # noqa: PLC0415 - it comes with the module that is there

    opened: Any = igzip.IGzipFile
    return opened(fileobj=raw, mode="rb")
