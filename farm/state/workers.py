"""The workers: each describes itself in a heartbeat every second, and is silent when its heartbeats stop.

Whether a worker is drained is stored beside its description, so that any machine can set it and a worker
that starts again finds it.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict, dataclass, fields, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from farm.errors import StateError
from farm.state.store import DRAINED, WORKERS, Store, unix_time

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

HEARTBEAT_INTERVAL = 1.0
"""Seconds between two heartbeats."""
SILENCE = 15.0
"""Seconds after which a worker counts as silent."""
FORGOTTEN = 3600.0
"""Seconds after which a silent worker is no longer shown."""


class WorkerState(StrEnum):
    """The state of a worker."""

    UP = "up"
    """accepts jobs"""
    DRAINING = "draining"
    """will accept no new job, and finishes those that it has"""
    DRAINED = "drained"
    """accepts no new job, and has none"""
    LEAVING = "leaving"
    """was asked to stop, and finishes the jobs that it has"""
    SILENT = "silent"
    """sent no heartbeat for 15 s; forgotten after an hour"""


_WHY = {
    WorkerState.DRAINING: "is drained",
    WorkerState.DRAINED: "is drained",
    WorkerState.LEAVING: "is stopping",
    WorkerState.SILENT: "is silent",
}


@dataclass(frozen=True, slots=True)
class RunningJob:
    """A job or publication that a worker works on."""

    run: str
    package: str
    arch: str
    """Empty for a publication."""
    since: float
    """Unix time by the worker's clock, seconds."""


@dataclass(frozen=True, slots=True)
class WorkerInfo:
    """A worker's description of itself, and its state."""

    name: str
    arches: tuple[str, ...]
    publisher: bool
    slots: int
    engine: str
    """Version of its Docker Engine, or "" for a publisher."""
    emulated: tuple[str, ...] = ()
    host: str = ""
    jobs: tuple[RunningJob, ...] = ()
    consuming: bool = True
    """Whether it consumes its queues."""
    leaving: bool = False
    trouble: str = ""
    """What is wrong with its machine, such as a full disk; "" for nothing."""
    builder: str = ""
    """Its builder, and why: engine, or buildx 0.13.1 (for sbom); "" for a publisher."""
    release: str = ""
    """The release of its farm."""
    key: str = ""
    """Digest of the public key with which it attests; "" for a publisher."""
    seen: float = 0.0
    """Unix time of its last heartbeat, by Redis' clock."""
    state: WorkerState = WorkerState.UP
    drained_by: str = ""
    """Who drained it; "" for nobody."""

    @property
    def free(self) -> int:
        """How many more jobs it would accept now."""
        return max(0, self.slots - len(self.jobs)) if self.serving else 0

    @property
    def live(self) -> bool:
        """Whether its heartbeats arrive."""
        return self.state is not WorkerState.SILENT

    @property
    def serving(self) -> bool:
        """Whether it accepts jobs."""
        return self.state is WorkerState.UP

    def to_json(self) -> dict[str, Any]:
        """The JSON output."""
        data = asdict(self) | {"free": self.free, "state": str(self.state)}
        data["drainedBy"] = data.pop("drained_by") or None
        data["trouble"] = self.trouble or None
        data["jobs"] = [asdict(job) | {"arch": job.arch or None} for job in self.jobs]
        return data


def record_heartbeat(store: Store, worker: WorkerInfo) -> bool:
    """Store a heartbeat; returns whether the worker is drained."""
    now, drained = store.ask([("time",), ("hexists", DRAINED, worker.name)])
    record = json.dumps(asdict(replace(worker, seen=unix_time(now))))
    store.ask([("hset", WORKERS, worker.name, record)])
    return bool(drained)


def deregister(store: Store, name: str) -> None:
    """Remove a worker that has stopped."""
    store.ask([("hdel", WORKERS, name)])


def forget_silent(store: Store) -> None:
    """Remove the workers that are no longer shown, and what describes no worker."""
    time, records = store.ask([("time",), ("hgetall", WORKERS)])
    now = unix_time(time)
    described = {name: _worker(record, {}, now) for name, record in records.items()}
    old = [
        name for name, worker in described.items() if worker is None or _age(worker.seen, now) >= FORGOTTEN
    ]
    store.ask(("hdel", WORKERS, name) for name in old)


def drain(store: Store, name: str, by: str) -> None:
    """Let a worker accept no new job until it is resumed, also after a restart."""
    if not is_drained(store, name):
        _require_known(store, name)
    store.ask([("hset", DRAINED, name, by)])


def resume(store: Store, name: str) -> bool:
    """Let a worker accept jobs again; False if it was not drained."""
    resumed = bool(store.ask([("hdel", DRAINED, name)])[0])
    if not resumed:
        _require_known(store, name)
    return resumed


def _require_known(store: Store, name: str) -> None:
    if not store.ask([("hexists", WORKERS, name)])[0]:
        raise StateError(f"there is no worker {name}", hint="`farm workers` lists them")


def is_drained(store: Store, name: str) -> bool:
    """Whether a worker is drained."""
    return bool(store.ask([("hexists", DRAINED, name)])[0])


def known_workers(store: Store) -> list[WorkerInfo]:
    """The workers with a heartbeat in the last hour, by name, in one round trip."""
    time, records, drained = store.ask([("time",), ("hgetall", WORKERS), ("hgetall", DRAINED)])
    now = unix_time(time)
    described = [_worker(record, drained, now) for record in records.values()]
    recent = [worker for worker in described if worker and _age(worker.seen, now) < FORGOTTEN]
    return sorted(recent, key=lambda worker: worker.name)


def workers(store: Store) -> list[WorkerInfo]:
    """The workers that are not silent, by name."""
    return [worker for worker in known_workers(store) if worker.live]


def _worker(record: str, drained: dict[str, str], now: float) -> WorkerInfo | None:
    """A worker by its heartbeat; None if that describes none."""
    try:
        data = json.loads(record)
        worker = WorkerInfo(
            **_known_fields(WorkerInfo, data)
            | {
                "arches": tuple(map(str, data["arches"])),
                "emulated": tuple(map(str, data["emulated"])),
                "jobs": tuple(RunningJob(**_known_fields(RunningJob, job)) for job in data.get("jobs", ())),
                "drained_by": drained.get(data["name"], ""),
                "seen": float(data["seen"]),
                "slots": int(data["slots"]),
            }
        )
    except (ValueError, TypeError, LookupError, AttributeError, OverflowError, RecursionError):
        return None
    return replace(worker, state=_state(worker, now))


def _known_fields(kind: type[WorkerInfo | RunningJob], data: dict[str, Any]) -> dict[str, Any]:
    """Those of a description that this release knows: that of a newer worker may have others."""
    return {item.name: data[item.name] for item in fields(kind) if item.name in data}


def _age(seen: float, now: float) -> float:
    """The age of a heartbeat; one from the future is old, because Redis' clock was set back since."""
    return abs(now - seen)


def _state(worker: WorkerInfo, now: float) -> WorkerState:
    if _age(worker.seen, now) >= SILENCE:
        return WorkerState.SILENT
    if worker.leaving:
        return WorkerState.LEAVING
    if not worker.drained_by:
        return WorkerState.UP
    return WorkerState.DRAINING if worker.consuming or worker.jobs else WorkerState.DRAINED


def others(known: Iterable[WorkerInfo], arch: str, keys: Collection[str]) -> list[WorkerInfo]:
    """The workers that accept jobs for an architecture, and attest with none of these keys."""
    return [one for one in known if one.serving and arch in one.arches and one.key and one.key not in keys]


def served(known: Iterable[WorkerInfo]) -> set[str]:
    """The architectures that these workers build now, and "publish" if one of them publishes."""
    serving = [worker for worker in known if worker.serving]
    arches = {arch for worker in serving for arch in worker.arches}
    return arches | ({"publish"} if any(worker.publisher for worker in serving) else set())


def slots_of(known: Iterable[WorkerInfo]) -> Counter[str]:
    """Architecture to the builds that these workers accept at a time."""
    slots: Counter[str] = Counter()
    for worker in known:
        if worker.serving:
            slots.update(dict.fromkeys(worker.arches, worker.slots))
    return slots


def why_unserved(known: Iterable[WorkerInfo], arch: str) -> str:
    """Why no worker accepts jobs for an architecture, in a few words; "" if one does."""
    here = [worker for worker in known if arch in worker.arches]
    if any(worker.serving for worker in here):
        return ""
    if not here:
        return f"no worker for {arch}"
    reasons = [f"{worker.name} {_WHY[worker.state]}" for worker in here]
    more = f", and {len(reasons) - 1} more" if len(reasons) > 1 else ""
    return f"no worker accepts {arch}: {reasons[0]}{more}"
