"""Directories that only their owner may enter, permanent and temporary ones."""

from __future__ import annotations

import os
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from farm.system.locks import locked, try_lock

if TYPE_CHECKING:
    from collections.abc import Iterator

_LOCK = ".lock"
_IN_USE = ".in-use"
"""The lock of one temporary directory; buildx has a `.lock` of its own in the directory it is given."""


def make_private(path: Path) -> None:
    """Create a directory with mode 0700, and its parents; one that exists keeps its mode."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)


@contextmanager
def temporary_directory(
    parent: Path, *, prefix: str, timeout: float | None = None, busy: Exception | None = None
) -> Iterator[Path]:
    """An empty private directory in `parent`, removed at the end.

    Those that killed processes left there under the same prefix are removed first.

    Args:
        parent: created if it is missing.
        prefix: how its name begins.
        timeout: seconds to wait for other processes that are between these two steps; None: no limit.
        busy: what to raise after that.

    Raises:
        OSError: `parent` cannot be created or written.
    """
    make_private(parent)
    # Between its creation and its lock, a directory looks abandoned: only one process at a time may create or
    # remove them.
    with locked(parent / _LOCK, timeout=timeout, busy=busy):
        for path in parent.glob(f"{prefix}*"):
            if _abandoned(path):
                shutil.rmtree(path, ignore_errors=True)
        path = Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
        held = try_lock(path / _IN_USE)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)
        if held is not None:
            os.close(held)


def _abandoned(path: Path) -> bool:
    try:
        held = try_lock(path / _IN_USE, create=False)
    except FileNotFoundError:
        return True
    if held is not None:
        os.close(held)
    return held is not None
