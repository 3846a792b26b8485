"""Keep the engine's build cache in bounds: engines before 28 never do it by themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING

from farm.build.engine import answering

if TYPE_CHECKING:
    from farm.build.engine import Engine


def prune(engine: Engine, *, keep: int) -> int:
    """Remove the oldest of the build cache, with the contexts of past builds, which it holds too.

    What a build uses now stays. Images, containers and volumes are not touched.

    Args:
        engine: whose cache.
        keep: bytes of it that may stay.

    Returns:
        The bytes that came free.

    Raises:
        EngineUnavailableError: the engine went away.
        EngineError: it refuses, as while another clean-up runs.
    """
    with answering(engine.url):
        answer = engine.api.prune_builds(keep_storage=keep, all=True)
    return int(answer.get("SpaceReclaimed") or 0)
