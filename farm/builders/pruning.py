"""Keep the engine's build cache within bounds: engines before 28 never do."""

from __future__ import annotations

import os
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any

from farm.builders.build_arguments import PACKAGE_LABEL
from farm.builders.docker_engine import DEFAULT_URL, translate_engine_errors
from farm.errors import EngineError
from farm.syntax.setting_types import without_login

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from farm.builders.docker_engine import Engine
    from farm.settings import Settings


def prune(engine: Engine, *, keep: int, age: float | None = None) -> int:
    """Remove the oldest build cache, including the contexts of past builds; return the bytes freed.

    The cache of builds in progress stays. Containers, volumes, and images that have a name are not touched.
    What an engine prunes already, for another worker, counts as 0.

    Args:
        engine: the engine.
        keep: bytes of cache that may stay.
        age: seconds; cache that was not used for longer is removed regardless of `keep`, and so are older
            images of LinuxKit packages that have lost their name to a newer one.

    Raises:
        EngineError: the engine refuses, as one behind a proxy that permits only some requests.
    """
    freed = _freed(engine, engine.api.prune_builds, keep_storage=keep, all=True)
    if age is not None:
        until = f"{int(age)}s"
        nameless = {"dangling": True, "until": until, "label": PACKAGE_LABEL}
        freed += _freed(engine, engine.api.prune_builds, filters={"until": until}, all=True)
        freed += _freed(engine, engine.api.prune_images, filters=nameless)
    return freed


def _freed(engine: Engine, request: Callable[..., Mapping[str, Any]], **options: Any) -> int:
    try:
        with translate_engine_errors(engine.url):
            return int(request(**options).get("SpaceReclaimed") or 0)
    except EngineError as error:
        if getattr(error.__cause__, "status_code", None) == HTTPStatus.CONFLICT:
            return 0
        raise


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
        where = (
            f"the disk of the Docker Engine at {without_login(settings.engine or '')} is not on this machine"
        )
    else:
        where = (
            f"{settings.engine_disk or root}, on the disk of the Docker Engine, is not visible here; "
            "mount a volume of that engine, and set engine-disk to where it is"
        )
    return f"disk-free has no effect: {where}"


def _is_local(settings: Settings) -> bool:
    return (settings.engine or DEFAULT_URL).startswith("unix://")
