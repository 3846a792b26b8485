"""Who works here: each worker tells of itself every few seconds, and is gone when it falls silent."""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass
from typing import Any

from farm.state.store import WORKERS, Store, answered

BEAT = 2.0
"""Seconds between two signs of life."""
SILENCE = 15.0
"""Seconds after which a worker counts as gone."""


@dataclass(frozen=True, slots=True)
class WorkerInfo:
    """A worker as it describes itself."""

    name: str
    arches: tuple[str, ...]
    publisher: bool
    slots: int
    engine: str
    """Version of its Docker Engine, or "" for a publisher."""
    emulated: tuple[str, ...] = ()
    seen: float = 0.0
    """Unix time of its last sign of life, by Redis's clock."""

    def to_json(self) -> dict[str, Any]:
        """The worker as the store and `--json` show it."""
        return asdict(self)


@answered
def beat(store: Store, worker: WorkerInfo) -> None:
    """Give a sign of life."""
    seconds, micro = store.text.time()
    record = worker.to_json() | {"seen": seconds + micro / 1e6}
    store.text.hset(WORKERS, worker.name, json.dumps(record))


@answered
def leave(store: Store, name: str) -> None:
    """Say that a worker is gone."""
    store.text.hdel(WORKERS, name)


@answered
def workers(store: Store, *, silence: float = SILENCE) -> list[WorkerInfo]:
    """Those who gave a sign of life in the last `silence` seconds, by name."""
    pipeline = store.text.pipeline(transaction=False)
    pipeline.time()
    pipeline.hgetall(WORKERS)
    (seconds, micro), records = pipeline.execute()
    found = [_worker(json.loads(record)) for record in records.values()]
    now = seconds + micro / 1e6
    return sorted((worker for worker in found if now - worker.seen < silence), key=lambda worker: worker.name)


def _worker(data: dict[str, Any]) -> WorkerInfo:
    return WorkerInfo(**{**data, "arches": tuple(data["arches"]), "emulated": tuple(data["emulated"])})


def wait_for_workers(store: Store, wanted: set[str], *, timeout: float) -> set[str]:
    """Wait until all `wanted` architectures (and "publish") are served; returns those that are not."""
    deadline = time.monotonic() + timeout
    while missing := wanted - served(workers(store)):
        if time.monotonic() > deadline:
            return missing
        time.sleep(0.05)
    return set()


def served(present: list[WorkerInfo]) -> set[str]:
    """The architectures that these workers build, and "publish" if one publishes."""
    arches = {arch for worker in present for arch in worker.arches}
    return arches | ({"publish"} if any(worker.publisher for worker in present) else set())
