"""Who works here: each worker tells of itself every second, and counts as silent when it stops to.

Whether a worker is drained stands beside its record and not in it, so that any machine may set it and a
worker that starts again finds it.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from farm.errors import StateError
from farm.state.store import DRAINED, WORKERS, Store, translate_redis_errors

if TYPE_CHECKING:
    from collections.abc import Iterable

HEARTBEAT_INTERVAL = 1.0
"""Seconds between two signs of life."""
SILENCE = 15.0
"""Seconds after which a worker counts as silent."""
FORGOTTEN = 3600.0
"""Seconds after which a silent worker is not shown any more."""


class WorkerState(StrEnum):
    """What a worker does about its queues."""

    UP = "up"
    DRAINING = "draining"
    """Takes no new job, or is about to see that it should not, and has some in hand."""
    DRAINED = "drained"
    """Takes no new job, and has none in hand."""
    LEAVING = "leaving"
    """Was told to end, and finishes what it has in hand."""
    SILENT = "silent"
    """Gave no sign of life for a while."""


@dataclass(frozen=True, slots=True)
class JobInHand:
    """What a worker works on just now."""

    run: str
    package: str
    arch: str
    """Empty for a package that is published."""
    since: float
    """Unix time by the worker's clock, seconds."""


@dataclass(frozen=True, slots=True)
class WorkerInfo:
    """A worker as it describes itself, and as the farm sees it."""

    name: str
    arches: tuple[str, ...]
    publisher: bool
    slots: int
    engine: str
    """Version of its Docker Engine, or "" for a publisher."""
    emulated: tuple[str, ...] = ()
    host: str = ""
    jobs: tuple[JobInHand, ...] = ()
    consuming: bool = True
    """Whether it takes jobs from its queues."""
    leaving: bool = False
    trouble: str = ""
    """What keeps it from good work, such as a full disk; "" for nothing."""
    builder: str = ""
    """What builds, in a word or two, and why: engine, or buildx 0.13.1 (for sbom); "" for a publisher."""
    seen: float = 0.0
    """Unix time of its last sign of life, by Redis's clock."""
    state: WorkerState = WorkerState.UP
    drained_by: str = ""
    """Who drained it, "" for nobody."""

    @property
    def free(self) -> int:
        """How many more jobs it would take now."""
        return max(0, self.slots - len(self.jobs)) if self.serving else 0

    @property
    def live(self) -> bool:
        """Whether it is there, working or not."""
        return self.state is not WorkerState.SILENT

    @property
    def serving(self) -> bool:
        """Whether it takes jobs."""
        return self.state is WorkerState.UP

    def to_json(self) -> dict[str, Any]:
        """The worker as `--json` shows it."""
        data = asdict(self) | {"free": self.free, "state": str(self.state)}
        data["drainedBy"] = data.pop("drained_by") or None
        data["trouble"] = self.trouble or None
        data["jobs"] = [asdict(job) | {"arch": job.arch or None} for job in self.jobs]
        return data


@translate_redis_errors
def record_heartbeat(store: Store, worker: WorkerInfo) -> bool:
    """Give a sign of life; returns whether the worker is to be drained."""
    pipeline = store.text.pipeline(transaction=False)
    pipeline.time()
    pipeline.hexists(DRAINED, worker.name)
    (seconds, micro), drained = pipeline.execute()
    record = asdict(replace(worker, seen=seconds + micro / 1e6))
    store.text.hset(WORKERS, worker.name, json.dumps(record))
    return bool(drained)


@translate_redis_errors
def leave(store: Store, name: str) -> None:
    """Say that a worker is gone."""
    store.text.hdel(WORKERS, name)


@translate_redis_errors
def forget_silent(store: Store) -> None:
    """Drop the records of workers that nobody is shown any more."""
    now = store.now()
    records = store.text.hgetall(WORKERS)
    old = [name for name, record in records.items() if now - json.loads(record)["seen"] >= FORGOTTEN]
    if old:
        store.text.hdel(WORKERS, *old)


@translate_redis_errors
def drain(store: Store, name: str, by: str) -> None:
    """Have a worker take no new job until it is resumed, also when it starts again.

    Raises:
        StateError: the farm has never heard of it.
    """
    if not (store.text.hexists(WORKERS, name) or store.text.hexists(DRAINED, name)):
        raise _unknown(name)
    store.text.hset(DRAINED, name, by)


@translate_redis_errors
def resume(store: Store, name: str) -> bool:
    """Have a worker take jobs again; False where it was not drained.

    Raises:
        StateError: the farm has never heard of it.
    """
    if store.text.hdel(DRAINED, name):
        return True
    if not store.text.hexists(WORKERS, name):
        raise _unknown(name)
    return False


def _unknown(name: str) -> StateError:
    return StateError(f"there is no worker {name}", hint="`farm workers` lists them")


@translate_redis_errors
def is_drained(store: Store, name: str) -> bool:
    """Whether a worker is to take no job."""
    return bool(store.text.hexists(DRAINED, name))


@translate_redis_errors
def known_workers(store: Store) -> list[WorkerInfo]:
    """Those that were heard in the last hour, by name, in one round trip."""
    pipeline = store.text.pipeline(transaction=False)
    pipeline.time()
    pipeline.hgetall(WORKERS)
    pipeline.hgetall(DRAINED)
    (seconds, micro), records, drained = pipeline.execute()
    now = seconds + micro / 1e6
    told = [_worker(json.loads(record), drained) for record in records.values()]
    present = [worker for worker in told if now - worker.seen < FORGOTTEN]
    seen = [
        replace(worker, state=WorkerState.SILENT) if now - worker.seen >= SILENCE else worker
        for worker in present
    ]
    return sorted(seen, key=lambda worker: worker.name)


def workers(store: Store) -> list[WorkerInfo]:
    """Those that are there, by name: all but the silent ones."""
    return [worker for worker in known_workers(store) if worker.live]


def _worker(data: dict[str, Any], drained: dict[str, str]) -> WorkerInfo:
    # A worker of another version may tell more than this one knows.
    known = {item.name: data[item.name] for item in fields(WorkerInfo) if item.name in data}
    told = WorkerInfo(
        **{
            **known,
            "arches": tuple(data["arches"]),
            "emulated": tuple(data["emulated"]),
            "jobs": tuple(JobInHand(**job) for job in data.get("jobs", ())),
            "drained_by": drained.get(data["name"], ""),
        }
    )
    return replace(told, state=_state(told))


def _state(worker: WorkerInfo) -> WorkerState:
    if worker.leaving:
        return WorkerState.LEAVING
    if not worker.drained_by:
        return WorkerState.UP
    return WorkerState.DRAINING if worker.consuming or worker.jobs else WorkerState.DRAINED


def served(present: Iterable[WorkerInfo]) -> set[str]:
    """The architectures that those of these workers build that are up, and "publish" if one publishes."""
    serving = [worker for worker in present if worker.serving]
    arches = {arch for worker in serving for arch in worker.arches}
    return arches | ({"publish"} if any(worker.publisher for worker in serving) else set())
