"""Tars of others, read in one pass, with bounded memory."""

from __future__ import annotations

import tarfile
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Any

from farm.cache.blobs import PIECE

if TYPE_CHECKING:
    from collections.abc import Iterator

_LARGEST_HEADER = 1 << 20
"""Bytes of an extended header, which tarfile reads as a whole: names, attributes."""
_EXTENDED = (
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
)
UNREADABLE = (tarfile.TarError, EOFError, RecursionError, ValueError, OverflowError)
"""The errors of tarfile for a damaged tar; it calls itself for each extended header."""


class _Entry(tarfile.TarInfo):
    """An entry whose extended headers have a limited size."""

    def _proc_member(self, tar: tarfile.TarFile) -> Any:
        if self.type in _EXTENDED and not 0 <= self.size <= _LARGEST_HEADER:
            raise tarfile.ReadError(f"an extended header of {self.size} bytes")
        return super()._proc_member(tar)  # type: ignore[misc]  # not in typeshed


@contextmanager
def open_tar(file: IO[bytes]) -> Iterator[tarfile.TarFile]:
    """Open a tar for `entries`; see `UNREADABLE` for its errors."""
    with tarfile.open(fileobj=file, mode="r|", bufsize=PIECE, tarinfo=_Entry) as tar:
        yield tar


def entries(tar: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    """The entries, none of which is kept: tarfile alone would remember every header."""
    for entry in tar:
        yield entry
        tar.members = []  # type: ignore[attr-defined]  # not in typeshed
