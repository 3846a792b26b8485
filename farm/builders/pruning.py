"""Keep the engine's build cache within bounds: engines before 28 never do."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from farm.builders.build_arguments import PACKAGE_LABEL
from farm.builders.docker_engine import DEFAULT_URL, translate_engine_errors
from farm.errors import EngineError, EngineUnavailableError

if TYPE_CHECKING:
    from farm.builders.docker_engine import Engine
    from farm.settings import Settings


def prune(engine: Engine, *, keep: int, age: float | None = None) -> int:
    """Remove the oldest build cache, including the contexts of past builds; return the bytes freed.

    The cache of builds in progress stays. Containers, volumes, and images that have a name are not touched.
    An engine that refuses, as while it prunes for another worker, frees 0.

    Args:
        engine: the engine.
        keep: bytes of cache that may stay.
        age: seconds; cache that was not used for longer is removed regardless of `keep`, and so are older
            images of LinuxKit packages that have lost their name to a newer one.
    """
    try:
        with translate_engine_errors(engine.url):
            answers = [engine.api.prune_builds(keep_storage=keep, all=True)]
            if age is not None:
                until = f"{int(age)}s"
                nameless = {"dangling": True, "until": until, "label": PACKAGE_LABEL}
                answers.append(engine.api.prune_builds(filters={"until": until}, all=True))
                answers.append(engine.api.prune_images(filters=nameless))
    except EngineUnavailableError:
        raise
    except EngineError:
        return 0
    return sum(int(answer.get("SpaceReclaimed") or 0) for answer in answers)


def free_space(settings: Settings, root: str) -> int | None:
    """Bytes free on the disk of an engine that has its data at `root`; None if that disk is not visible here.

    An engine describes how much it uses, and never how much is free.
    """
    place = settings.engine_disk or Path(root)
    try:
        if not _is_local(settings) or not place.is_dir():
            return None
        disk = os.statvfs(place)
    except OSError:
        return None
    return disk.f_bavail * disk.f_frsize


def unseen_disk(settings: Settings, root: str) -> str:
    """Why `disk-free` has no effect, and what to do; "" if the engine's disk is visible here."""
    if free_space(settings, root) is not None:
        return ""
    if not _is_local(settings):
        where = f"the disk of the Docker Engine at {settings.engine} is not on this machine"
    else:
        where = (
            f"{settings.engine_disk or root}, on the disk of the Docker Engine, is not visible here; "
            "mount a volume of that engine, and set engine-disk to where it is"
        )
    return f"disk-free has no effect: {where}"


def _is_local(settings: Settings) -> bool:
    return (settings.engine or DEFAULT_URL).startswith("unix://")
