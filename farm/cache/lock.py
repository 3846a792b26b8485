"""The lock of a cache: a whole-file fcntl lock on `.lock`, which `linuxkit` takes too.

It is bound to an open file (F_OFD), not to a process: two threads exclude one another as well, and closing
another descriptor of the file does not give it up. To a process that asks with F_SETLKW, as `linuxkit`
does, it is a lock like any other. The kernel gives it up when its holder dies.
"""

from __future__ import annotations

import fcntl
import os
import struct
from contextlib import contextmanager
from typing import TYPE_CHECKING

from farm.errors import CacheBusyError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_FLOCK = "hhqqi"
"""struct flock: type, whence, start, length (0 is to the end), process (0 with F_OFD)."""
_FIRST_LOOK, _LAST_LOOK = 0.005, 0.05
"""Seconds between two looks at a lock that is taken."""


@contextmanager
def locked(path: Path, patience: float, *, exclusive: bool = True) -> Iterator[None]:
    """Hold the lock in a file, which is made if it is missing.

    Args:
        path: the file.
        patience: seconds to wait for whoever holds it; `linuxkit` does for as long as it pulls an image.
        exclusive: False to share it with other readers.

    Raises:
        CacheBusyError: somebody else held it all the while.
        OSError: the file cannot be opened.
    """
    access = os.O_RDWR | os.O_CREAT if exclusive else os.O_RDONLY
    descriptor = os.open(path, access | os.O_CLOEXEC, 0o644)
    try:
        _take(descriptor, path, patience, fcntl.F_WRLCK if exclusive else fcntl.F_RDLCK)
        yield
    finally:
        os.close(descriptor)


def _take(descriptor: int, path: Path, patience: float, kind: int) -> None:
    wish = struct.pack(_FLOCK, kind, os.SEEK_SET, 0, 0, 0)
    try:
        fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, wish)
    except BlockingIOError:
        _wait_for(descriptor, path, patience, wish)


def _wait_for(descriptor: int, path: Path, patience: float, wish: bytes) -> None:
    from tenacity import (  # noqa: PLC0415 - slow to import, and hardly ever needed
        Retrying,
        retry_if_exception_type,
        stop_after_delay,
        wait_random,
    )

    retrying = Retrying(
        retry=retry_if_exception_type(BlockingIOError),
        wait=wait_random(_FIRST_LOOK, _LAST_LOOK),
        stop=stop_after_delay(patience),
        reraise=True,
    )
    try:
        retrying(fcntl.fcntl, descriptor, fcntl.F_OFD_SETLK, wish)
    except BlockingIOError as error:
        raise CacheBusyError(
            f"{path.parent}: the cache was locked for {patience:.0f} s",
            hint=f"does a linuxkit pull into it? `fuser {path}` shows who has it open",
        ) from error
