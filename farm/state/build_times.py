"""How long builds took: the last few of each image and architecture, and of each architecture as a whole."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from farm.state.store import Store, translate_redis_errors

if TYPE_CHECKING:
    from collections.abc import Sequence

    from farm.model import Job

_LAST = 10
"""Builds remembered of one image on one architecture."""
_LAST_OF_ALL = 50
"""Builds remembered of one architecture."""
_LIFE = 180 * 86400
"""Seconds for which they are remembered."""
LEAST = 600.0
"""Seconds that a build is given whatever its history says."""


def _key(job: Job) -> str:
    return f"farm:took:{job.reference.name} {job.arch}"


def _arch_key(arch: str) -> str:
    return f"farm:took:{arch}"


@translate_redis_errors
def remember(store: Store, job: Job, seconds: float) -> None:
    """Remember how long a build took that really built."""
    pipeline = store.text.pipeline(transaction=False)
    for key, most in ((_key(job), _LAST), (_arch_key(job.arch), _LAST_OF_ALL)):
        pipeline.lpush(key, f"{seconds:.3f}")
        pipeline.ltrim(key, 0, most - 1)
        pipeline.expire(key, _LIFE)
    pipeline.execute()


@translate_redis_errors
def took(store: Store, job: Job) -> list[float]:
    """Seconds that the last builds of this image on this architecture took, newest first."""
    return [float(text) for text in cast("list[str]", store.text.lrange(_key(job), 0, -1))]


@translate_redis_errors
def took_by_arch(store: Store, arches: Sequence[str]) -> dict[str, list[float]]:
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
        past: how long earlier ones of the same image and architecture took; empty where there were none.
        patience: how many times the longest of them this one may take.
    """
    return min(bound, max(LEAST, patience * max(past))) if past else bound
