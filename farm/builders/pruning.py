"""Keep the engine's build cache in bounds: engines before 28 never do it by themselves."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from farm.builders.docker_engine import DEFAULT_URL, translate_engine_errors
from farm.errors import EngineError, EngineUnavailableError

if TYPE_CHECKING:
    from farm.builders.docker_engine import Engine


def prune(engine: Engine, *, keep: int, age: float | None = None) -> int:
    """Remove the oldest of the build cache, with the contexts of past builds, which it holds too.

    What a build uses now stays. Images, containers and volumes are not touched.

    Args:
        engine: whose cache.
        keep: bytes of it that may stay.
        age: seconds; what was not used for longer goes whatever `keep` says. None for no such limit.

    Returns:
        The bytes that came free.

    Raises:
        EngineUnavailableError: the engine went away.
        EngineError: it refuses, as while another clean-up runs.
    """
    with translate_engine_errors(engine.url):
        answers = [engine.api.prune_builds(keep_storage=keep, all=True)]
        if age is not None:
            answers.append(engine.api.prune_builds(filters={"until": f"{int(age)}s"}, all=True))
    return sum(int(answer.get("SpaceReclaimed") or 0) for answer in answers)


def tidy(engine: Engine, *, keep: int, age: float | None = None) -> int:
    """Prune, unless another clean-up runs, which does as well.

    Raises:
        EngineUnavailableError: the engine went away.
    """
    try:
        return prune(engine, keep=keep, age=age)
    except EngineUnavailableError:
        raise
    except EngineError:
        return 0


def free_space(url: str | None, root: str) -> int | None:
    """Bytes free on the disk of an engine's data; None where that disk cannot be seen from here.

    Args:
        url: of the engine; None for the local one.
        root: the directory of its data, as it names it itself.
    """
    if not (url or DEFAULT_URL).startswith("unix://") or not Path(root).is_dir():
        return None
    try:
        found = os.statvfs(root)
    except OSError:
        return None
    return found.f_bavail * found.f_frsize
