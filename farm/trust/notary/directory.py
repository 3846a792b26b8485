"""Private directories for one signing or verification each, and the locks around them."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from farm.errors import TrustError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from farm.trust.notary.deadline import TrustDeadline

_PREFIX = "trust-"
_LOCK = ".lock"
_PAUSE = 0.01


@contextmanager
def private_directory(parent: Path, deadline: TrustDeadline) -> Iterator[Path]:
    """An empty directory that only its owner may enter, removed at the end.

    What a killed process left in `parent` is removed first: a directory whose lock nobody holds.

    Raises:
        TrustError: `parent` cannot be made or written.
        TrustUnavailableError: the deadline passed before the lock on `parent` was free.
    """
    try:
        parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with locked(parent / _LOCK, deadline):
            remove_stale(parent)
            path = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=parent))
            held = _open(path / _LOCK)
            fcntl.flock(held, fcntl.LOCK_EX)
    except OSError as error:
        raise TrustError(f"{parent}: no trust directory can be made: {error.strerror}") from error
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)
        os.close(held)


@contextmanager
def locked(path: Path, deadline: TrustDeadline) -> Iterator[None]:
    """Hold the lock file `path`, which the kernel frees when its holder dies.

    Raises:
        TrustUnavailableError: another process held it until the deadline.
    """
    held = _open(path)
    try:
        while not _taken(held):
            time.sleep(min(_PAUSE, deadline.left()))
        yield
    finally:
        os.close(held)


def remove_stale(parent: Path) -> None:
    """Remove the directories of processes that are gone; the caller holds the lock on `parent`."""
    for path in parent.glob(f"{_PREFIX}*"):
        if not _in_use(path):
            shutil.rmtree(path, ignore_errors=True)


def _in_use(path: Path) -> bool:
    try:
        held = os.open(path / _LOCK, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        return not _taken(held)
    finally:
        os.close(held)


def _open(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


def _taken(held: int) -> bool:
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
