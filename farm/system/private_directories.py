"""Directories that only their owner may enter, permanent and temporary ones."""

from __future__ import annotations

import math
import shutil
import tempfile
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from farm.system.locks import is_locked, locked

if TYPE_CHECKING:
    from collections.abc import Iterator

_LOCK = ".lock"
_IN_USE = ".in-use"
"""The lock of one temporary directory; buildx has a `.lock` of its own in the directory it is given."""


def make_private(path: Path) -> None:
    """Create a directory with mode 0700, and missing parents; an existing one keeps its mode."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)


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
