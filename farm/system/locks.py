"""Locks on files: the kernel releases a lock when its holder closes the file or dies."""

from __future__ import annotations

import fcntl
import os
import random
import struct
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    Operation = Callable[[int, int], object]
    """Takes a lock on a descriptor: LOCK_EX or LOCK_SH of fcntl, with LOCK_NB to fail where it is taken."""

_STRUCT_FLOCK = "hhqqi"
"""l_type, l_whence, l_start, l_len (0: to the end of the file), l_pid (must be 0 for F_OFD_*)."""
_SHORTEST_PAUSE, _LONGEST_PAUSE = 0.005, 0.05
"""Seconds between two attempts. Random, so that processes that wait for one lock do not keep step."""


def posix_lock(descriptor: int, operation: int) -> None:
    """Take a lock that also excludes programs that use fcntl(F_SETLKW), which flock(2) does not.

    F_OFD_SETLK binds it to the open file. A plain F_SETLK lock belongs to the process: two threads would both
    get it, and closing any other descriptor of the file would release it.
    https://man7.org/linux/man-pages/man2/F_OFD_SETLK.2const.html
    """
    kind = fcntl.F_RDLCK if operation & fcntl.LOCK_SH else fcntl.F_WRLCK
    command = fcntl.F_OFD_SETLK if operation & fcntl.LOCK_NB else fcntl.F_OFD_SETLKW
    fcntl.fcntl(descriptor, command, struct.pack(_STRUCT_FLOCK, kind, os.SEEK_SET, 0, 0, 0))


@contextmanager
def locked(
    path: Path,
    *,
    shared: bool = False,
    timeout: float | None = None,
    busy: Exception | None = None,
    mode: int = 0o600,
    operation: Operation = fcntl.flock,
) -> Iterator[int]:
    """Hold the lock in a file, which is created if it is missing; yields its descriptor.

    Args:
        path: the file.
        shared: share the lock with other readers.
        timeout: seconds to wait for the lock; None to wait as long as it takes.
        busy: what to raise if the lock is not free by then.
        mode: permissions of a new file.
        operation: `fcntl.flock` or `posix_lock`.

    Raises:
        OSError: the file cannot be opened.
    """
    # Over NFS, the kernel turns flock(2) into a lock that needs write access to be exclusive.
    access = os.O_RDONLY if shared else os.O_RDWR
    descriptor = os.open(path, access | os.O_CREAT | os.O_CLOEXEC, mode)
    try:
        _take(descriptor, fcntl.LOCK_SH if shared else fcntl.LOCK_EX, timeout, busy, operation)
        yield descriptor
    finally:
        os.close(descriptor)


def try_lock(path: Path, *, create: bool = True) -> int | None:
    """Take the exclusive lock in a file if it is free; return the descriptor that holds it, else None."""
    descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC | (os.O_CREAT if create else 0), 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


def _take(
    descriptor: int, how: int, timeout: float | None, busy: Exception | None, operation: Operation
) -> None:
    if timeout is None:
        operation(descriptor, how)
        return
    deadline = time.monotonic() + timeout
    while True:
        try:
            operation(descriptor, how | fcntl.LOCK_NB)
        except BlockingIOError as error:
            left = deadline - time.monotonic()
            if left <= 0:
                raise (busy or error) from error
            time.sleep(min(left, random.uniform(_SHORTEST_PAUSE, _LONGEST_PAUSE)))  # noqa: S311 - no secret
        else:
            return
