"""The images that builds put into an engine, until they are pushed and removed.

A build that was killed, or whose push failed, leaves its image in the engine. The name stays here, and the
next build on that engine removes the image. So images of the same kind of name that others made are never
removed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from farm.state.store import Store, lease_key, translate_redis_errors

if TYPE_CHECKING:
    from collections.abc import Iterable

_LIFE = 30 * 86400
"""Seconds for which the names are kept after the last build on an engine."""


def _key(engine: str) -> str:
    return f"farm:images:{engine}"


@translate_redis_errors
def record_image(store: Store, engine: str, reference: str) -> None:
    """Record that an engine, by its id, is about to have an image of that name."""
    pipeline = store.text.pipeline()
    pipeline.sadd(_key(engine), reference)
    pipeline.expire(_key(engine), _LIFE)
    pipeline.execute()


@translate_redis_errors
def forget_images(store: Store, engine: str, references: Iterable[str]) -> None:
    """Record that an engine no longer has these images."""
    names = list(references)
    if names:
        store.text.srem(_key(engine), *names)


def leftover_images(store: Store, engine: str) -> list[str]:
    """The images in an engine whose lease nobody holds: those of dead and failed builds."""
    (names,) = store.ask([("smembers", _key(engine))])
    held = store.ask(("exists", lease_key(name, "lease")) for name in sorted(names))
    return [name for name, is_held in zip(sorted(names), held, strict=True) if not is_held]
