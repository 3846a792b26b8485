"""A BUILDX_CONFIG directory for each run of buildx, which would else write to docker's configuration."""

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
def config_directory(settings: Settings) -> Iterator[Path]:
    """A directory for BUILDX_CONFIG with a copy of docker's list of builders; removed at the end.

    Directories that killed processes left, whose lock is free, are removed first.

    Raises:
        FarmError: the directory cannot be created.
    """
    parent = settings.state_dir / "buildx"
    try:
        parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        parent_lock = _locked(parent)
        try:
            _remove_abandoned(parent)
            path = Path(tempfile.mkdtemp(dir=parent))
            lock = _locked(path)
        finally:
            os.close(parent_lock)
        builders = settings.docker_config / "buildx" / _INSTANCES
        if builders.is_dir():
            shutil.copytree(builders, path / _INSTANCES)
    except OSError as error:
        raise FarmError(f"cannot create a directory in {parent}: {error.strerror}") from error
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)
        os.close(lock)


def _remove_abandoned(parent: Path) -> None:
    for path in parent.iterdir():
        try:
            lock = _locked(path, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            continue
        shutil.rmtree(path, ignore_errors=True)
        os.close(lock)


def _locked(path: Path, operation: int = fcntl.LOCK_EX) -> int:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, operation)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor
