"""What of the open runs may need a push: read in a few round trips, however many jobs there are."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from farm.errors import FarmError
from farm.model import ARCHES, RunState
from farm.state.records import (
    JobRecord,
    PackageRecord,
    arch_of,
    job_field,
    package_field,
    package_of,
    read_job,
    read_package,
)
from farm.state.store import OPEN_RUNS, Store, lease_key, run_key, translate_redis_errors

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

_MOST = 200
"""Waiting records that are looked at in one go, oldest first; the rest has its turn later."""
_PRIORITIES = range(10)


@dataclass(frozen=True, slots=True)
class InHand:
    """A record that a lease should stand for."""

    package: str
    arch: str
    """Empty for the package itself."""
    record: JobRecord | PackageRecord
    lease: str | None
    """Who holds the record's lease now; None for nobody."""

    @property
    def abandoned(self) -> bool:
        """Whether its holder is gone, or what it waits for was freed without a word."""
        return self.lease != self.record.token if self.record.token else self.lease is None


@dataclass(frozen=True, slots=True)
class Overdue:
    """What of one run has stood for a while."""

    run: str
    state: RunState | None
    """None where the run is not there (any more)."""
    hand: tuple[InHand, ...] = ()
    queued: tuple[tuple[str, str, float], ...] = ()
    """(package, architecture, since when)."""
    due: tuple[tuple[str, float], ...] = ()
    """(package, since when)."""
    odd: Exception | None = None
    """Why it cannot be read; the rest says nothing then."""


@translate_redis_errors
def read_overdue(store: Store, *, grace: float) -> tuple[float, list[Overdue]]:
    """The time by Redis's clock, and of each open run what has stood for `grace` seconds."""
    now = store.now()
    named = cast("list[str]", store.text.zrange(OPEN_RUNS, 0, -1))
    waiting = ("due", *(f"queued:{arch}" for arch in ARCHES))
    pipeline = store.text.pipeline(transaction=False)
    for run in named:
        pipeline.hget(run_key(run, "meta"), "state")
        pipeline.zrangebyscore(run_key(run, "hand"), "-inf", now - grace)
        for part in waiting:
            pipeline.zrangebyscore(run_key(run, part), "-inf", now - grace, 0, _MOST, withscores=True)
    answers = pipeline.execute()
    width = 2 + len(waiting)
    rows = [answers[at : at + width] for at in range(0, len(answers), width)]
    hands = _in_hand(store, {run: row[1] for run, row in zip(named, rows, strict=True)})
    return now, [_overdue(run, row, hands[run]) for run, row in zip(named, rows, strict=True)]


def _overdue(run: str, row: Sequence[Any], hand: Sequence[InHand | Exception]) -> Overdue:
    state, _, due, *queues = row
    odd = next((item for item in hand if isinstance(item, Exception)), None)
    known = not state or state in list(RunState)
    if odd or not known:
        return Overdue(run, None, odd=odd or ValueError(f"{state} is no state of a run"))
    return Overdue(
        run,
        RunState(state) if state else None,
        tuple(item for item in hand if isinstance(item, InHand)),
        tuple((package_of(field), arch_of(field), at) for queue in queues for field, at in queue),
        tuple((package_of(field), at) for field, at in due),
    )


def _in_hand(store: Store, fields: Mapping[str, Sequence[str]]) -> dict[str, list[InHand | Exception]]:
    """The records that leases should stand for, by run; for one that cannot be read, why."""
    pairs = [(run, field) for run, names in fields.items() for field in names]
    texts = _each(store, "hget", [(run_key(run, "records"), field) for run, field in pairs])
    records = [_record(text) for text in texts]
    names = ["" if isinstance(record, Exception) else record.lease for record in records]
    leases = _each(store, "get", [(lease_key(name, "lease"),) for name in names])
    found: dict[str, list[InHand | Exception]] = {run: [] for run in fields}
    for (run, field), record, lease in zip(pairs, records, leases, strict=True):
        if isinstance(record, Exception):
            found[run].append(record)
            continue
        arch = record.arch if isinstance(record, JobRecord) else ""
        found[run].append(InHand(package_of(field), arch, record, lease))
    return found


def _record(text: str | None) -> JobRecord | PackageRecord | Exception:
    try:
        return read_job(str(text)) if "arch" in json.loads(text or "") else read_package(str(text))
    except (FarmError, ValueError, KeyError, TypeError, AttributeError) as error:
        return error


def _each(store: Store, command: str, arguments: Iterable[Sequence[str | int]]) -> list[Any]:
    pipeline = store.text.pipeline(transaction=False)
    for words in arguments:
        getattr(pipeline, command)(*words)
    return pipeline.execute()


@translate_redis_errors
def queue_heads(store: Store, queues: Mapping[str, str]) -> dict[str, float | None]:
    """Since when the oldest message of each queue has waited; `inf` for an empty queue, None where unknown.

    Args:
        store: the Redis that is the broker too.
        queues: queue of Celery to the part of a run's keys in which its records wait.
    """
    lists = [(queue, name) for queue in queues for name in _lists(queue)]
    messages = _each(store, "lindex", [(name, -1) for _, name in lists])
    heads = [(queue, *_whose(text)) for (queue, _), text in zip(lists, messages, strict=True) if text]
    since = _each(store, "zscore", [(run_key(run, queues[queue]), field) for queue, run, field in heads])
    oldest: dict[str, float | None] = dict.fromkeys(queues, float("inf"))
    for (queue, _, _), at in zip(heads, since, strict=True):
        known = oldest[queue]
        oldest[queue] = None if at is None or known is None else min(known, at)
    return oldest


def _lists(queue: str) -> list[str]:
    """The Redis lists of a queue, one for each priority, as kombu names them."""
    return [f"{queue}\x06\x16{priority}" if priority else queue for priority in _PRIORITIES]


def _whose(message: str) -> tuple[str, str]:
    """The run and the record for which a message was sent; ("", "") for one that is none of the farm's."""
    try:
        words = json.loads(base64.b64decode(json.loads(message)["body"]))[1]
        if job := words.get("job"):
            return job["run"], job_field(job["package"], job["arch"])
        return words["run"], package_field(words["package"])
    except (ValueError, KeyError, TypeError, IndexError, AttributeError):
        return "", ""
