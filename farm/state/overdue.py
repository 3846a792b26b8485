"""What has waited in the open runs for a while, read in a few round trips however many jobs there are."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from farm.errors import FarmError
from farm.model import ARCHES, RunState
from farm.state.records import (
    JobRecord,
    PackageRecord,
    arch_of,
    job_field,
    package_field,
    package_of,
    parse_job,
    parse_package,
)
from farm.state.run_handles import JobHandle, PackageHandle, RunHandle
from farm.state.store import OPEN_RUNS, Store, lease_key, run_key

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

_MAX_RECORDS = 200
"""Records of one sorted set that are read at a time, oldest first; the rest follow in later rounds."""
_MAX_RUNS = 1000
"""Open runs that are read at a time, oldest first."""
_AHEAD = 5.0
"""Seconds by which a time must be in the future to be from before Redis' clock was set back."""
_LONG_AGO = 10 * 365 * 86400.0
"""Seconds by which such a time is moved, so that it stays before all others."""
_WAITING = ("due", "requeued", *(f"queued:{arch}" for arch in ARCHES))
"""What a run has in sorted sets by the time since when it waits."""


@dataclass(frozen=True, slots=True)
class LeasedRecord:
    """A job or package under a lease, or waiting for one."""

    handle: JobHandle | PackageHandle
    record: JobRecord | PackageRecord
    holder: str | None
    """The token that the lease has now; None if nobody holds it."""

    @property
    def abandoned(self) -> bool:
        """Whether its holder is gone, or the lease that it waits for was released without a message."""
        return self.holder != self.record.token if self.record.token else self.holder is None


@dataclass(frozen=True, slots=True)
class OverdueRun:
    """What has waited in one run for a while."""

    handle: RunHandle
    state: RunState | None
    """None if the run does not exist, or is malformed."""
    in_progress: tuple[LeasedRecord, ...] = ()
    queued: tuple[tuple[JobHandle, float], ...] = ()
    """Jobs that were sent for the first time, each with the time since when."""
    requeued: tuple[tuple[JobHandle, float], ...] = ()
    """Jobs that were sent again, each with the time since when."""
    due: tuple[tuple[PackageHandle, float], ...] = ()
    """Each with the time since when."""
    malformed: Exception | None = None
    """Why the run cannot be read; all else is empty then."""


def read_overdue(store: Store, *, grace: float) -> tuple[float, list[OverdueRun]]:
    """The time by Redis' clock, and what has waited in each open run for `grace` seconds."""
    now = store.now()
    (names,) = store.ask([("zrange", OPEN_RUNS, 0, _MAX_RUNS - 1)])
    runs = [RunHandle(store, name) for name in names]
    answers = store.ask_each(question for run in runs for question in _questions(run, now - grace))
    width = 2 + len(_WAITING)
    rows = [answers[at : at + width] for at in range(0, len(answers), width)]
    leased = _leased(store, {run: _damage(row) or row[1] for run, row in zip(runs, rows, strict=True)})
    return now, [_overdue(run, row, leased[run]) for run, row in zip(runs, rows, strict=True)]


def pull_back(store: Store) -> None:
    """If anything waits since a time in the future, move all that waits into the past, in the same order.

    The time is Redis' own, so its clock was set back since: nothing from before that would be overdue.
    """
    (names,) = store.ask([("zrange", OPEN_RUNS, 0, -1)])
    keys = [run_key(name, part) for name in names for part in ("in-progress", *_WAITING)]
    future = store.now() + _AHEAD
    answers = store.ask_each(("zrange", key, 0, -1, False, True) for key in keys)
    found = [[] if isinstance(answer, Exception) else answer for answer in answers]
    if all(at < future for entries in found for _, at in entries):
        return
    store.ask(
        # XX: what was processed meanwhile stays away.
        ("zadd", key, {field: at - _LONG_AGO for field, at in entries}, False, True)
        for key, entries in zip(keys, found, strict=True)
        if entries
    )


def _questions(run: RunHandle, until: float) -> Iterator[tuple[Any, ...]]:
    """What is asked of a run, in the order of a row: its state, then what has waited."""
    yield "hget", run.key("meta"), "state"
    yield "zrangebyscore", run.key("in-progress"), "-inf", until
    for part in _WAITING:
        yield "zrangebyscore", run.key(part), "-inf", until, 0, _MAX_RECORDS, True


def _damage(answers: Sequence[Any]) -> list[Exception]:
    """What Redis refused to answer, because a key has another type or is too large."""
    return [answer for answer in answers if isinstance(answer, Exception)]


def _overdue(run: RunHandle, row: Sequence[Any], leased: Sequence[LeasedRecord | Exception]) -> OverdueRun:
    malformed = next((item for item in leased if isinstance(item, Exception)), None)
    if malformed:
        return OverdueRun(run, None, malformed=malformed)
    state, _, due, requeued, *queues = row
    if state and state not in list(RunState):
        return OverdueRun(run, None, malformed=ValueError(f"unknown state of a run: {state}"))

    def jobs(fields: Sequence[tuple[str, float]]) -> tuple[tuple[JobHandle, float], ...]:
        return tuple((run.package(package_of(field)).job(arch_of(field)), at) for field, at in fields)

    return OverdueRun(
        run,
        RunState(state) if state else None,
        tuple(item for item in leased if isinstance(item, LeasedRecord)),
        jobs([entry for queue in queues for entry in queue]),
        jobs(requeued),
        tuple((run.package(package_of(field)), at) for field, at in due),
    )


def _leased(
    store: Store, fields: Mapping[RunHandle, Sequence[str | Exception]]
) -> dict[RunHandle, list[LeasedRecord | Exception]]:
    """The records with the holders of their leases, by run; for one that cannot be parsed, the error."""
    damaged = {run: _damage(names) for run, names in fields.items()}
    pairs = [(run, str(field)) for run, names in fields.items() if not damaged[run] for field in names]
    texts = store.ask_each(("hget", run.key("records"), field) for run, field in pairs)
    records = [_parse(text) for text in texts]
    names = ["" if isinstance(record, Exception) else record.lease for record in records]
    answers = store.run_scripts("lease_holder", [([lease_key(name, "lease")], []) for name in names])
    found: dict[RunHandle, list[LeasedRecord | Exception]] = {run: [*damaged[run]] for run in fields}
    for (run, field), record, (holder,) in zip(pairs, records, answers, strict=True):
        if isinstance(record, Exception):
            found[run].append(record)
            continue
        package = run.package(package_of(field))
        handle = package.job(record.arch) if isinstance(record, JobRecord) else package
        found[run].append(LeasedRecord(handle, record, holder))
    return found


def _parse(text: str | Exception | None) -> JobRecord | PackageRecord | Exception:
    if isinstance(text, Exception):
        return text
    try:
        return parse_job(str(text)) if "arch" in json.loads(text or "") else parse_package(str(text))
    except (FarmError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        return error


def queue_heads(store: Store, lists: Mapping[str, str]) -> dict[str, float | None]:
    """Since when the oldest message of each list has waited; `inf` for an empty list, None if unknown.

    `lists` maps lists of messages to the part of a run's keys in which the records of their messages wait.
    """
    messages = store.ask_each(("lindex", name, -1) for name in lists)
    heads = [(name, *_record_of(text)) for name, text in zip(lists, messages, strict=True) if text]
    since = store.ask_each(("zscore", run_key(run, lists[name]), field) for name, run, field in heads)
    found = zip(heads, since, strict=True)
    known = {name: None if isinstance(at, Exception) else at for (name, _, _), at in found}
    return dict.fromkeys(lists, float("inf")) | known


def _record_of(message: str | Exception) -> tuple[str, str]:
    """The run and the record's field of a message; ("", "") for a message that is not the farm's."""
    try:
        if isinstance(message, Exception):
            raise TypeError  # noqa: TRY301 - handled like any other message that is not the farm's
        # Celery's protocol 2: the body is [args, kwargs, embed].
        # https://docs.celeryq.dev/en/stable/internals/protocol.html#version-2
        keywords = json.loads(base64.b64decode(json.loads(message)["body"]))[1]
        if job := keywords.get("job"):
            return job["run"], job_field(job["package"], job["arch"])
        return keywords["run"], package_field(keywords["package"])
    except (ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError):
        return "", ""
