"""A private BUILDX_CONFIG for each run; otherwise buildx writes to docker's configuration."""

from __future__ import annotations

import shutil
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from farm.errors import FarmError
from farm.system.files import temporary_directory

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from farm.settings import Settings

_INSTANCES = "instances"


@contextmanager
def config_directory(settings: Settings) -> Iterator[Path]:
    """A directory for BUILDX_CONFIG with a copy of docker's list of builders; removed at the end.

    Raises:
        FarmError: the directory cannot be created.
    """
    parent = settings.state_dir / "buildx"
    with ExitStack() as stack:
        try:
            path = stack.enter_context(temporary_directory(parent, prefix="tmp"))
            builders = settings.docker_config / "buildx" / _INSTANCES
            if builders.is_dir():
                shutil.copytree(builders, path / _INSTANCES)
        except OSError as error:
            raise FarmError(f"cannot create a directory in {parent}: {error.strerror}") from error
        yield path
