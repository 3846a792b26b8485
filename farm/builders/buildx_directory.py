"""Where one buildx keeps its notes while it runs, so that it leaves none in docker's configuration."""

from __future__ import annotations

import shutil
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from farm.errors import FarmError
from farm.system.private_directories import temporary_directory

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from farm.settings import Settings

_INSTANCES = "instances"


@contextmanager
def workplace(settings: Settings) -> Iterator[Path]:
    """A directory for BUILDX_CONFIG that knows docker's builders; removed at the end.

    Raises:
        FarmError: it cannot be made.
    """
    parent = settings.state_dir / "buildx"
    with ExitStack() as stack:
        try:
            path = stack.enter_context(temporary_directory(parent, prefix="tmp"))
            known = settings.docker_config / "buildx" / _INSTANCES
            if known.is_dir():
                shutil.copytree(known, path / _INSTANCES)
        except OSError as error:
            raise FarmError(f"{parent}: no directory can be made: {error.strerror}") from error
        yield path
