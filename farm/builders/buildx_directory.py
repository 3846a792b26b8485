"""Where one buildx keeps its notes while it runs, so that it leaves none in docker's configuration."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from farm.errors import FarmError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from farm.settings import Settings

_INSTANCES = "instances"


@contextmanager
def workplace(settings: Settings) -> Iterator[Path]:
    """A directory for BUILDX_CONFIG that knows docker's builders; removed at the end.

    What killed processes left is removed first: directories whose lock nobody holds.

    Raises:
        FarmError: it cannot be made.
    """
    parent = settings.state_dir / "buildx"
    try:
        parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        gate = _locked(parent)
        try:
            _sweep(parent)
            path = Path(tempfile.mkdtemp(dir=parent))
            held = _locked(path)
        finally:
            os.close(gate)
        known = settings.docker_config / "buildx" / _INSTANCES
        if known.is_dir():
            shutil.copytree(known, path / _INSTANCES)
    except OSError as error:
        raise FarmError(f"{parent}: no directory can be made: {error.strerror}") from error
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)
        os.close(held)


def _sweep(parent: Path) -> None:
    for path in parent.iterdir():
        try:
            held = _locked(path, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            continue
        shutil.rmtree(path, ignore_errors=True)
        os.close(held)


def _locked(path: Path, operation: int = fcntl.LOCK_EX) -> int:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, operation)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor
