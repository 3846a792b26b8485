"""How long earlier builds took: those of each image and architecture, and of each architecture as a whole."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from farm.model import Job
    from farm.state.store import Store

_NUMBER = re.compile(r"[0-9]{1,8}(\.[0-9]{1,6})?")
_MAX_OF_IMAGE = 10
"""Builds remembered of one image on one architecture."""
_MAX_OF_ARCH = 50
"""Builds remembered of one architecture."""
_LIFE = 180 * 86400
"""Seconds for which they are remembered."""
MIN_TIME_LIMIT = 600.0
"""Seconds that a build may always take, if the bound of the settings allows them."""


def _key(name: str, arch: str) -> str:
    return f"farm:durations:{name} {arch}"


def _arch_key(arch: str) -> str:
    return f"farm:durations:{arch}"


def record_duration(store: Store, job: Job, seconds: float) -> None:
    """Remember how long the builder took."""
    kept = ((_key(job.reference.name, job.arch), _MAX_OF_IMAGE), (_arch_key(job.arch), _MAX_OF_ARCH))
    store.ask(
        command
        for key, most in kept
        for command in (
            ("lpush", key, f"{seconds:.3f}"),
            ("ltrim", key, 0, most - 1),
            ("expire", key, _LIFE),
        )
    )


def durations(store: Store, job: Job) -> list[float]:
    """Seconds that the last builds of this image on this architecture took, newest first."""
    return _read(store, [_key(job.reference.name, job.arch)])[0]


def durations_by_arch(store: Store, arches: Sequence[str]) -> dict[str, list[float]]:
    """Seconds that the last builds of each architecture took, newest first."""
    return dict(zip(arches, _read(store, [_arch_key(arch) for arch in arches]), strict=True))


def durations_by_image(store: Store, images: Sequence[tuple[str, str]]) -> dict[tuple[str, str], list[float]]:
    """The same for each repository and architecture, without those that were never built."""
    found = zip(images, _read(store, [_key(*image) for image in images]), strict=True)
    return {image: seconds for image, seconds in found if seconds}


def _read(store: Store, keys: Sequence[str]) -> list[list[float]]:
    answers = store.ask_each(("lrange", key, 0, -1) for key in keys)
    return [[] if isinstance(texts, Exception) else _seconds(texts) for texts in answers]


def _seconds(texts: Iterable[str]) -> list[float]:
    """The durations; what can be none, because somebody else wrote it, is left out."""
    found = (float(text) for text in texts if _NUMBER.fullmatch(text))
    return [seconds for seconds in found if seconds < _LIFE]


def time_limit(bound: float, past: Sequence[float], patience: float) -> float:
    """The seconds that a build may take: at most `patience` times as many as its longest past one."""
    return min(bound, max(MIN_TIME_LIMIT, patience * max(past))) if past else bound
