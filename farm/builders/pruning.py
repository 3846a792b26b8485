"""Keep the engine's build cache within bounds: engines before 28 never do."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from farm.builders.docker_engine import DEFAULT_URL, translate_engine_errors
from farm.errors import EngineError, EngineUnavailableError

if TYPE_CHECKING:
    from farm.builders.docker_engine import Engine


def prune(engine: Engine, *, keep: int, age: float | None = None) -> int:
    """Remove the oldest build cache, including the contexts of past builds; return the bytes freed.

    The cache of builds in progress stays. Images, containers and volumes are not touched. An engine that
    refuses, as while it prunes for another worker, frees 0.

    Args:
        engine: the engine.
        keep: bytes of cache that may stay.
        age: seconds; cache that was not used for longer is removed regardless of `keep`.
    """
    try:
        with translate_engine_errors(engine.url):
            answers = [engine.api.prune_builds(keep_storage=keep, all=True)]
            if age is not None:
                answers.append(engine.api.prune_builds(filters={"until": f"{int(age)}s"}, all=True))
    except EngineUnavailableError:
        raise
    except EngineError:
        return 0
    return sum(int(answer.get("SpaceReclaimed") or 0) for answer in answers)


def free_space(url: str | None, root: str) -> int | None:
    """Bytes free at `root`, where an engine has its data; None if that disk is not on this machine."""
    if not (url or DEFAULT_URL).startswith("unix://") or not Path(root).is_dir():
        return None
    try:
        disk = os.statvfs(root)
    except OSError:
        return None
    return disk.f_bavail * disk.f_frsize
