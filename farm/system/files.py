"""Files that are written whole or not at all, temporary files, and directories for their owner only."""

from __future__ import annotations

import errno
import io
import math
import os
import shutil
import tempfile
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING

from farm.errors import CancelledError, FarmError, TemporaryFullError
from farm.system.identity import host_name
from farm.system.locks import is_locked, locked

if TYPE_CHECKING:
    import threading
    from collections.abc import Iterator

    from _typeshed import ReadableBuffer, WriteableBuffer

_LOCK = ".lock"
_IN_USE = ".in-use"
"""The lock of one temporary directory; buildx has a `.lock` of its own in the directory it is given."""
_BUFFER = 1 << 16
"""Bytes that are read or written at once; with Python's 8 KiB, contexts take many small reads."""


def write_once(path: Path, text: str, mode: int = 0o600) -> None:
    """Create a file, whole or not at all, and to stay; one that exists is kept, unless it is empty.

    An empty one was left by a process that was killed, or found the disk full, before it wrote the text.
    """
    with suppress(FileNotFoundError):
        if path.stat().st_size:
            return
    handle, name = tempfile.mkstemp(prefix=".new-", dir=path.parent)
    new = Path(name)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            os.fchmod(file.fileno(), mode)
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(new, path)
        except FileExistsError:
            _replace_empty(path, new)
        sync(path.parent)
    finally:
        new.unlink(missing_ok=True)


def put_in_place(new: Path, path: Path) -> None:
    """Give a finished file, or directory of files, its name: after a power failure it is whole or absent."""
    for part in (*(new.iterdir() if new.is_dir() else ()), new):
        sync(part)
    new.replace(path)
    for directory in {new.parent, path.parent}:
        sync(directory)


def sync(path: Path) -> None:
    """Make the content of a file, or the names in a directory, survive a power failure."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    except OSError as error:
        # What fsync(2) gives for a directory where the file system cannot, as on some network disks.
        if error.errno not in (errno.EINVAL, errno.EROFS):
            raise
    finally:
        os.close(descriptor)


def make_directory(path: Path, mode: int = 0o777) -> None:
    """Create a directory and its missing parents, to stay; an existing one keeps its mode."""
    new = [one for one in (path, *path.parents) if not one.exists()]
    path.mkdir(mode=mode, parents=True, exist_ok=True)
    for one in new:
        sync(one.parent)


def _replace_empty(path: Path, new: Path) -> None:
    """Replace an empty file, unless another process just did: the first one wins."""
    with locked(path) as descriptor:
        found = os.fstat(descriptor)
        if not found.st_size and os.path.samestat(found, path.stat()):
            new.replace(path)


def spool(stopped: threading.Event | None = None) -> IO[bytes]:
    """An unnamed temporary file, deleted when it is closed; its errors, of writing too, are FarmErrors.

    Whoever reads or writes it gets a CancelledError once `stopped` is set.
    """
    try:
        with tempfile.TemporaryFile(buffering=0) as file:
            return io.BufferedRandom(_Spool(os.dup(file.fileno()), stopped), _BUFFER)
    except OSError as error:
        raise _farm_error(error) from error


class _Spool(io.FileIO):
    """The file below the buffer; callers would take an OSError for one of Redis or the engine."""

    def __init__(self, descriptor: int, stopped: threading.Event | None) -> None:
        super().__init__(descriptor, "rb+")
        self._stopped = stopped

    def write(self, data: ReadableBuffer, /) -> int:
        self._check()
        try:
            return super().write(data)
        except OSError as error:
            raise _farm_error(error) from error

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        self._check()
        try:
            return super().readinto(buffer)
        except OSError as error:
            raise _farm_error(error) from error

    def _check(self) -> None:
        if self._stopped and self._stopped.is_set():
            raise CancelledError("the work with this file was stopped")


def _farm_error(error: OSError) -> FarmError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return TemporaryFullError(
            f"the temporary directory {tempfile.tempdir} is full on {host_name()}",
            hint="free space there, or set TMPDIR to a larger one",
        )
    where = tempfile.tempdir or "no temporary file can be created"
    return FarmError(f"{where}: {error.strerror or error}", hint="TMPDIR names the temporary directory")


def make_private(path: Path) -> None:
    """Create a directory with mode 0700, and missing parents; an existing one keeps its mode."""
    make_directory(path, 0o700)


@contextmanager
def temporary_directory(
    parent: Path, *, prefix: str, timeout: float = math.inf, busy: Exception | None = None
) -> Iterator[Path]:
    """An empty private directory in `parent`, which is created if it is missing; removed at the end.

    Those that killed processes left there under the same prefix are removed first. `timeout` and `busy` limit
    the wait for other processes that do so.
    """
    make_private(parent)
    with ExitStack() as stack:
        # A new directory without its lock looks abandoned: one process at a time creates or removes them.
        with locked(parent / _LOCK, timeout=timeout, busy=busy):
            for path in parent.glob(f"{prefix}*/"):
                if not is_locked(path / _IN_USE):
                    shutil.rmtree(path, ignore_errors=True)
            path = Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
            stack.enter_context(locked(path / _IN_USE))
        stack.callback(shutil.rmtree, path, ignore_errors=True)
        yield path
