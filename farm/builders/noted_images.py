"""The images of builds in progress, noted in the engine itself.

A build that was killed, or whose push failed, leaves its image in the engine. The note, an empty volume with
the image's name, stays with it, and the next build on that engine removes both. So no image that others made
is removed, whatever anybody writes into Redis.
"""

from __future__ import annotations

import hashlib
import logging
from contextlib import suppress
from typing import TYPE_CHECKING

import docker.errors

from farm.builders.docker_engine import translate_engine_errors
from farm.errors import EngineError, EngineUnavailableError, InputError
from farm.model import Reference

if TYPE_CHECKING:
    from farm.builders.docker_engine import Engine

log = logging.getLogger(__name__)

LABEL = "linuxkit-farm.image"


def note_image(engine: Engine, reference: Reference) -> None:
    """Note that an engine is about to have an image of that name."""
    try:
        with translate_engine_errors(engine.url):
            engine.api.create_volume(_volume(reference), labels={LABEL: str(reference)})
    except EngineUnavailableError:
        raise
    except EngineError as error:
        log.warning("%s stays in the engine if this worker dies: %s", reference, error)


def forget_image(engine: Engine, reference: Reference) -> None:
    """Remove the note of an image that the engine no longer has."""
    try:
        with translate_engine_errors(engine.url), suppress(docker.errors.NotFound):
            engine.api.remove_volume(_volume(reference))
    except EngineUnavailableError:
        raise
    except EngineError as error:
        log.warning("the note of %s stays in the engine: %s", reference, error)


def noted_images(engine: Engine) -> list[Reference]:
    """The images that are noted in an engine."""
    try:
        with translate_engine_errors(engine.url):
            volumes = engine.api.volumes(filters={"label": LABEL})["Volumes"] or []
    except EngineUnavailableError:
        raise
    except EngineError as error:
        log.warning("images of dead builds stay in the engine: %s", error)
        return []
    found = []
    for volume in volumes:
        with suppress(InputError):
            reference = Reference.parse(str((volume.get("Labels") or {}).get(LABEL)))
            if volume["Name"] == _volume(reference):
                found.append(reference)
    return found


def _volume(reference: Reference) -> str:
    return f"linuxkit-farm-{hashlib.sha256(str(reference).encode()).hexdigest()[:32]}"
