"""The lock of a cache: `.lock`, which `linuxkit` takes too."""

from __future__ import annotations

from typing import TYPE_CHECKING

from farm.errors import CacheBusyError
from farm.system import locks

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from pathlib import Path


def locked(path: Path, patience: float, *, exclusive: bool = True) -> AbstractContextManager[int]:
    """Hold the lock in a file, which is created if it is missing.

    Args:
        path: the file.
        patience: seconds to wait for its holder; `linuxkit` holds it for as long as it pulls an image.
        exclusive: False to share it with other readers.

    Raises:
        CacheBusyError: it was not released in time.
        OSError: the file cannot be opened.
    """
    busy = CacheBusyError(
        f"{path.parent}: the cache was locked for {patience:.0f} s",
        hint=f"does a linuxkit pull into it? `fuser {path}` shows who has it open",
    )
    return locks.locked(
        path, shared=not exclusive, timeout=patience, busy=busy, mode=0o644, operation=locks.posix_lock
    )
