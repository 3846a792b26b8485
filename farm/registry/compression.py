"""Compression of layers: gzip by ISA-L where it is available, which is three times as fast, else by zlib."""

from __future__ import annotations

import gzip
import hashlib
import zlib
from typing import IO, TYPE_CHECKING, Any, cast

from farm.model import digest_from_hex

if TYPE_CHECKING:
    from _typeshed import SupportsWrite

isal_zlib: Any
try:
    from isal import isal_zlib
except ImportError:  # it has no wheels for s390x and riscv64
    isal_zlib = zlib

HAS_ISAL = isal_zlib is not zlib

DAMAGED = (EOFError, gzip.BadGzipFile, zlib.error, isal_zlib.error)
"""The errors of reading a compressed layer that is truncated or altered."""

GZIP, ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
"""Magic numbers: https://www.rfc-editor.org/rfc/rfc1952#page-6, https://www.rfc-editor.org/rfc/rfc8878#section-3.1.1."""
_GZIP_BITS = 31
"""zlib's largest window, and a gzip header without time and name, so that equal layers give equal bytes."""
_LEVEL = 1
SMALLER = 2
"""A level whose layers are 2 % smaller, and take no longer. On level 3, the bytes depend on the processor."""


class LayerCompressor:
    """Compresses a layer into a blob, and computes the digest of the uncompressed layer.

    The blob depends on the pieces that are written: equal layers need pieces of equal size.
    """

    def __init__(self, into: SupportsWrite[bytes], codec: Any = isal_zlib, level: int = _LEVEL) -> None:
        self._into, self._hash = into, hashlib.sha256()
        self._compressor = codec.compressobj(level=level, wbits=_GZIP_BITS)

    @property
    def diff_id(self) -> str:
        """The digest of the uncompressed layer.

        https://github.com/opencontainers/image-spec/blob/main/config.md#layer-diffid
        """
        return digest_from_hex(self._hash.hexdigest())

    def write(self, data: bytes) -> None:
        """Append an uncompressed piece."""
        self._hash.update(data)
        self._into.write(self._compressor.compress(data))

    def close(self) -> None:
        """Write the end; nothing may follow."""
        self._into.write(self._compressor.flush())


def open_uncompressed(raw: IO[bytes]) -> IO[bytes] | None:
    """The uncompressed content of a layer's file; None for a compression other than gzip."""
    start = raw.read(len(ZSTD))
    raw.seek(0)
    if start.startswith(GZIP):
        return cast("IO[bytes]", _gzip_file(raw))
    return None if start == ZSTD else raw


def _gzip_file(raw: IO[bytes]) -> Any:
    if not HAS_ISAL:
        return gzip.GzipFile(fileobj=raw, mode="rb")
    from isal import igzip  # noqa: PLC0415 - it is present where isal_zlib is

    opened: Any = igzip.IGzipFile
    return opened(fileobj=raw, mode="rb")
