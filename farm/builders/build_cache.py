"""The build cache of an engine, as a person lists and empties it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from farm.builders.docker_engine import translate_engine_errors

if TYPE_CHECKING:
    from farm.builders.docker_engine import Engine


class CacheRecord(NamedTuple):
    """One record of a build cache."""

    id: str
    size: int
    """Bytes."""
    in_use: bool
    shared: bool
    unused: float | None
    """Seconds since it was last used; None for never."""


def list_cache(engine: Engine) -> list[CacheRecord]:
    """The records of the engine's build cache, in its order.

    https://docs.docker.com/reference/api/engine/version/v1.51/#tag/System/operation/SystemDataUsage
    """
    with translate_engine_errors(engine.url):
        # docker-py's df() would also measure every image, container and volume.
        target = engine.target("/system/df", [("type", "build-cache")])
        answer = engine.api.get(f"{engine.api.base_url}{target}", timeout=engine.timeout)
        answer.raise_for_status()
        records = answer.json().get("BuildCache") or []
    return [_record(one) for one in records]


def _record(data: dict[str, Any]) -> CacheRecord:
    used = data.get("LastUsedAt")
    unused = (datetime.now(UTC) - datetime.fromisoformat(used)).total_seconds() if used else None
    return CacheRecord(data["ID"], int(data["Size"]), bool(data["InUse"]), bool(data["Shared"]), unused)


def prune_cache(engine: Engine) -> int:
    """Remove all build cache that no build uses; returns the bytes freed."""
    with translate_engine_errors(engine.url):
        return int(engine.api.prune_builds(all=True).get("SpaceReclaimed") or 0)
