"""Durations of the last builds: of each image and architecture, and of each architecture as a whole."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from farm.state.store import Store, translate_redis_errors

if TYPE_CHECKING:
    from collections.abc import Sequence

    from farm.model import Job

_MAX_OF_IMAGE = 10
"""Builds remembered of one image on one architecture."""
_MAX_OF_ARCH = 50
"""Builds remembered of one architecture."""
_LIFE = 180 * 86400
"""Seconds for which they are remembered."""
MIN_TIME_LIMIT = 600.0
"""Seconds that a build may always take, if the bound of the settings allows them."""


def _key(job: Job) -> str:
    return f"farm:durations:{job.reference.name} {job.arch}"


def _arch_key(arch: str) -> str:
    return f"farm:durations:{arch}"


@translate_redis_errors
def record_duration(store: Store, job: Job, seconds: float) -> None:
    """Remember how long the builder took."""
    pipeline = store.text.pipeline(transaction=False)
    for key, most in ((_key(job), _MAX_OF_IMAGE), (_arch_key(job.arch), _MAX_OF_ARCH)):
        pipeline.lpush(key, f"{seconds:.3f}")
        pipeline.ltrim(key, 0, most - 1)
        pipeline.expire(key, _LIFE)
    pipeline.execute()


@translate_redis_errors
def durations(store: Store, job: Job) -> list[float]:
    """Seconds that the last builds of this image on this architecture took, newest first."""
    return [float(text) for text in cast("list[str]", store.text.lrange(_key(job), 0, -1))]


@translate_redis_errors
def durations_by_arch(store: Store, arches: Sequence[str]) -> dict[str, list[float]]:
    """Seconds that the last builds of each architecture took, newest first."""
    pipeline = store.text.pipeline(transaction=False)
    for arch in arches:
        pipeline.lrange(_arch_key(arch), 0, -1)
    return {
        arch: [float(text) for text in texts] for arch, texts in zip(arches, pipeline.execute(), strict=True)
    }


def time_limit(bound: float, past: Sequence[float], patience: float) -> float:
    """The seconds that a build may take.

    Args:
        bound: the longest that any build may take.
        past: how long earlier ones of the same image and architecture took; empty if there were none.
        patience: how many times the longest of them this one may take.
    """
    return min(bound, max(MIN_TIME_LIMIT, patience * max(past))) if past else bound
