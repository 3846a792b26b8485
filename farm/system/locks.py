"""Locks on files: the kernel releases a lock when its holder closes the file or dies."""

from __future__ import annotations

import fcntl
import math
import os
import random
import struct
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

# No symbolic links: some lock files are in /tmp, where another user could redirect them.
_OPEN = os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
_STRUCT_FLOCK = "hhqqi"
"""l_type, l_whence, l_start, l_len (0: to the end of the file), l_pid (must be 0 for F_OFD_*)."""
_SHORTEST_PAUSE, _LONGEST_PAUSE = 0.005, 0.05
"""Seconds between two attempts. Random, so that waiting processes do not retry together."""


def posix_lock(descriptor: int, operation: int) -> None:
    """Take a lock that also excludes programs that use fcntl(F_SETLKW), which flock(2) does not.

    F_OFD_SETLK binds it to the open file. A plain F_SETLK lock belongs to the process: two threads would both
    get it, and closing any other descriptor of the file would release it.
    https://man7.org/linux/man-pages/man2/fcntl.2.html, "Open file description locks"
    """
    kind = fcntl.F_RDLCK if operation & fcntl.LOCK_SH else fcntl.F_WRLCK
    fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, struct.pack(_STRUCT_FLOCK, kind, os.SEEK_SET, 0, 0, 0))


@contextmanager
def locked(
    path: Path,
    *,
    shared: bool = False,
    timeout: float = math.inf,
    busy: Exception | None = None,
    mode: int = 0o600,
    operation: Callable[[int, int], object] = fcntl.flock,
) -> Iterator[int]:
    """Hold the lock in a file, which is created with `mode` if it is missing; yields its descriptor.

    After `timeout` seconds `busy` is raised, or the kernel's own BlockingIOError. `operation` may be
    `posix_lock` instead. Readers share a lock.
    """
    # Over NFS, the kernel turns flock(2) into a lock that needs write access to be exclusive.
    descriptor = os.open(path, (os.O_RDONLY if shared else os.O_RDWR) | _OPEN, mode)
    how = fcntl.LOCK_NB | (fcntl.LOCK_SH if shared else fcntl.LOCK_EX)
    deadline = time.monotonic() + timeout
    try:
        while True:
            try:
                operation(descriptor, how)
                break
            except BlockingIOError as error:
                left = deadline - time.monotonic()
                if left <= 0:
                    raise (busy or error) from error
                time.sleep(min(left, random.uniform(_SHORTEST_PAUSE, _LONGEST_PAUSE)))  # noqa: S311 - no secret
        yield descriptor
    finally:
        os.close(descriptor)


def try_lock(path: Path) -> int | None:
    """Take the exclusive lock in a file if it is free; return the descriptor that holds it, else None."""
    # A descriptor, because its holder keeps the lock until it ends, however that happens.
    descriptor = os.open(path, os.O_RDWR | _OPEN, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


def is_locked(path: Path) -> bool:
    """Whether somebody holds the lock in a file, or may, because this user cannot open it."""
    try:
        with path.open("rb+") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return False
