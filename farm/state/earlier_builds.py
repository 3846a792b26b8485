"""What earlier builds left: how long they took, and the images that they put into an engine.

Durations are kept of each image and architecture, and of each architecture as a whole. A build that was
killed, or whose push failed, leaves its image in the engine: its name stays here, and the next build on that
engine removes the image. So images of the same kind of name that others made are never removed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from farm.state.store import Store, lease_key

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from farm.model import Job

_MAX_OF_IMAGE = 10
"""Builds remembered of one image on one architecture."""
_MAX_OF_ARCH = 50
"""Builds remembered of one architecture."""
_LIFE = 180 * 86400
"""Seconds for which they are remembered."""
_IMAGES_LIFE = 30 * 86400
"""Seconds for which the names of images are kept after the last build on an engine."""
MIN_TIME_LIMIT = 600.0
"""Seconds that a build may always take, if the bound of the settings allows them."""


def _key(job: Job) -> str:
    return f"farm:durations:{job.reference.name} {job.arch}"


def _arch_key(arch: str) -> str:
    return f"farm:durations:{arch}"


def record_duration(store: Store, job: Job, seconds: float) -> None:
    """Remember how long the builder took."""
    for key, most in ((_key(job), _MAX_OF_IMAGE), (_arch_key(job.arch), _MAX_OF_ARCH)):
        store.ask([("lpush", key, f"{seconds:.3f}"), ("ltrim", key, 0, most - 1), ("expire", key, _LIFE)])


def durations(store: Store, job: Job) -> list[float]:
    """Seconds that the last builds of this image on this architecture took, newest first."""
    return _read(store, [_key(job)])[0]


def durations_by_arch(store: Store, arches: Sequence[str]) -> dict[str, list[float]]:
    """Seconds that the last builds of each architecture took, newest first."""
    return dict(zip(arches, _read(store, [_arch_key(arch) for arch in arches]), strict=True))


def _read(store: Store, keys: Sequence[str]) -> list[list[float]]:
    return [[float(text) for text in texts] for texts in store.ask(("lrange", key, 0, -1) for key in keys)]


def time_limit(bound: float, past: Sequence[float], patience: float) -> float:
    """The seconds that a build may take: at most `patience` times as many as its longest past one."""
    return min(bound, max(MIN_TIME_LIMIT, patience * max(past))) if past else bound


def _images_key(engine: str) -> str:
    return f"farm:images:{engine}"


def record_image(store: Store, engine: str, reference: str) -> None:
    """Record that an engine, by its id, is about to have an image of that name."""
    key = _images_key(engine)
    store.ask([("sadd", key, reference), ("expire", key, _IMAGES_LIFE)])


def forget_images(store: Store, engine: str, references: Iterable[str]) -> None:
    """Record that an engine no longer has these images."""
    store.ask(("srem", _images_key(engine), reference) for reference in references)


def leftover_images(store: Store, engine: str) -> list[str]:
    """The images in an engine whose lease nobody holds: those of dead and failed builds."""
    (names,) = store.ask([("smembers", _images_key(engine))])
    held = store.ask(("exists", lease_key(name, "lease")) for name in sorted(names))
    return [name for name, is_held in zip(sorted(names), held, strict=True) if not is_held]
