"""Files on this machine: those that are there whole or not at all, and temporary ones."""

from __future__ import annotations

import errno
import fcntl
import io
import os
import platform
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING

from farm.errors import FarmError, TemporaryFullError

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer, WriteableBuffer


def write_once(path: Path, text: str, mode: int = 0o600) -> None:
    """Write a file that is there whole or not at all, and survives a crash; one that exists is kept.

    An empty one does not count: whoever made it was killed, or found the disk full, before it was written.
    """
    with suppress(FileNotFoundError):
        if path.stat().st_size:
            return
    handle, name = tempfile.mkstemp(prefix=".new-", dir=path.parent)
    try:
        with os.fdopen(handle, "w") as file:
            os.fchmod(file.fileno(), mode)
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(name, path)
        except FileExistsError:
            _replace_empty(path, name)
    finally:
        Path(name).unlink(missing_ok=True)


def _replace_empty(path: Path, name: str) -> None:
    """Put a file in the place of an empty one, unless somebody else just did: the first stays."""
    with path.open("rb") as standing:
        fcntl.flock(standing, fcntl.LOCK_EX)
        found = os.fstat(standing.fileno())
        if not found.st_size and os.path.samestat(found, path.stat()):
            Path(name).replace(path)


def spool() -> IO[bytes]:
    """An unnamed temporary file, gone once it is closed, whose errors are the farm's own, whoever writes it.

    Raises:
        TemporaryFullError: here or where it is written: the directory for temporary files is full.
        FarmError: it refuses otherwise.
    """
    try:
        with tempfile.TemporaryFile(buffering=0) as file:
            return io.BufferedRandom(_Spool(os.dup(file.fileno()), "rb+"))
    except OSError as error:
        raise _refusal(error) from error


class _Spool(io.FileIO):
    """The file below the buffer; a bare OSError of its would be taken for one of Redis or of the engine."""

    def write(self, data: ReadableBuffer, /) -> int:
        try:
            return super().write(data)
        except OSError as error:
            raise _refusal(error) from error

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        try:
            return super().readinto(buffer)
        except OSError as error:
            raise _refusal(error) from error


def _refusal(error: OSError) -> FarmError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return TemporaryFullError(
            f"{tempfile.tempdir}, the directory for temporary files, is full on {platform.node()}",
            hint="free some there, or set TMPDIR to a larger one",
        )
    where = tempfile.tempdir or "no temporary file can be made"
    return FarmError(
        f"{where}: {error.strerror or error}", hint="TMPDIR names the directory for temporary files"
    )
