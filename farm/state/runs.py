"""Runs in Redis: stored, read and, once they have ended, left to expire."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from redis.exceptions import WatchError

from farm.errors import RunDamagedError, StateError, StateUnavailableError
from farm.model import ARCHES, JobState, PackageState, PackageWork, Run, RunState
from farm.model.order import MAX_ORDER, MAX_PART, MAX_SIGNATURE, OrderedRun, SignedOrder
from farm.model.strict_json import json_object
from farm.state.ready import ready_part
from farm.state.records import (
    JobRecord,
    PackageRecord,
    RunRecord,
    job_field,
    known_priority,
    package_field,
    parse_job,
    parse_package,
)
from farm.state.run_handles import RunHandle
from farm.state.run_names import is_known, once_key, submitted_once
from farm.state.store import OPEN_RUNS, RUNS, Store, translate_redis_errors

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from farm.state.run_handles import JobHandle, PackageHandle

_PARTS = (
    *(f"queued:{arch}" for arch in ARCHES),
    *(ready_part(arch) for arch in ARCHES),
    "ranks",
    "meta",
    "records",
    "order",
    "works",
    "dependents",
    "left",
    "events",
    "in-progress",
    "due",
    "requeued",
)
_MAX_RUNS = 10_000
_ONCE_KEPT = 30 * 86400
"""Seconds for which a key of a submitter is remembered."""
_BATCH = 500
"""Fields that are read in one round trip."""


@translate_redis_errors
def create_run(store: Store, ordered: OrderedRun, *, once: str = "") -> RunHandle:
    """Store a run with its order and parts in one transaction, in which it also becomes an open run.

    So the reconciler starts a stored run even where the caller dies right after this. The packages without
    dependencies are due. A run that is stored under that name already is never changed. Under the key `once`
    only one run is stored: of several callers, all but the first get its handle.
    """
    handle = RunHandle(store, ordered.run.id)
    try:
        _create(handle, ordered, once)
    except WatchError as error:
        if once and (earlier := submitted_once(store, once)):
            return earlier
        # redis-py sent the transaction again because the first answer was lost, and the watched key exists
        # by now. To store the run once more could undo what was done since.
        if not is_known(handle):
            raise StateUnavailableError(
                "Redis became unavailable while the run was stored", hint="push again"
            ) from error
    return handle


def _create(handle: RunHandle, ordered: OrderedRun, once: str) -> None:
    run = ordered.run
    now = handle.store.now()
    pipeline: Any = handle.store.text.pipeline()
    pipeline.watch(handle.key("meta"))
    if once:
        # By itself: a user may have the rights to these keys from two grants.
        pipeline.watch(once_key(once))
    if once and submitted_once(handle.store, once):
        raise WatchError("another one submitted it")
    if pipeline.exists(handle.key("meta")):
        raise StateError(f"there is a run {handle} already; nothing was changed", hint="push again")
    pipeline.multi()
    for part, mapping in _hashes(ordered).items():
        if mapping:
            pipeline.hset(handle.key(part), items=[word for pair in mapping.items() for word in pair])
    pipeline.zadd(OPEN_RUNS, {run.id: now})
    pipeline.zadd(RUNS, {run.id: run.created})
    due = {package_field(work.package): now for work in run.works if not work.needs}
    pipeline.zadd(handle.key("due"), due)
    if once:
        pipeline.set(once_key(once), run.id, ex=_ONCE_KEPT)
    pipeline.execute()


def _hashes(ordered: OrderedRun) -> dict[str, Mapping[str, str | bytes]]:
    """The hashes of a new run, by part of its keys."""
    run = ordered.run
    meta = {
        "state": str(RunState.OPEN),
        "submitter": run.submitter,
        "created": str(run.created),
        # A hash does not keep the order in which it was filled.
        "packages": json.dumps([work.package for work in run.works]),
        "open": str(len(run.works)),
        "priority": str(run.priority),
    }
    dependents: dict[str, list[str]] = {}
    for work in run.works:
        for need in work.needs:
            dependents.setdefault(need, []).append(work.package)
    return {
        "meta": meta | ({"retry_of": run.retry_of} if run.retry_of else {}),
        "records": {field: json.dumps(record) for field, record in _first_records(run).items()},
        "order": {"document": ordered.order.document, "signature": ordered.order.signature},
        "works": ordered.parts,
        "dependents": {need: json.dumps(names) for need, names in dependents.items()},
        "ranks": _ranks(run),
        "left": {package_field(work.package): str(len(work.jobs)) for work in run.works},
    }


def _ranks(run: Run) -> dict[str, str]:
    """The ranks by package; of two that are the same, that of the package which comes first is higher."""
    if not any(work.jobs for work in run.works):
        return {}
    known = enumerate((work.package, run.ranks.get(work.package, 0.0)) for work in run.works)
    return {name: f"{round(rank, 1) - at / 1e6:.6f}" for at, (name, rank) in known}


def _first_records(run: Run) -> dict[str, dict[str, Any]]:
    records: dict[str, dict[str, Any]] = {}
    for work in run.works:
        records[package_field(work.package)] = {
            "package": work.package,
            "reference": str(work.reference),
            "state": PackageState.WAITING,
            "at": run.created,
        }
        images = {image.arch: {"image": json.dumps(image.to_json())} for image in work.existing}
        for arch in work.arches:
            state = JobState.EXISTS if arch in images else JobState.WAITING
            job = {"arch": arch, "state": state, "at": run.created}
            records[job_field(work.package, arch)] = job | images.get(arch, {})
    return records


def forget(run: RunHandle) -> None:
    """Remove a run from the open ones."""
    run.store.ask([("zrem", OPEN_RUNS, run.id)])


def retire(run: RunHandle, *, keep: float) -> None:
    """Let a run that has ended expire in `keep` seconds, and drop the oldest runs from the list."""
    run.store.ask(("expire", run.key(part), int(keep)) for part in _PARTS)
    run.store.ask([("zremrangebyrank", RUNS, 0, -_MAX_RUNS - 1)])
    forget(run)


def read_run(run: RunHandle) -> RunRecord:
    """Read a run with all its packages and jobs, in one round trip.

    Raises:
        StateError: there is no such run, or it cannot be read, perhaps because a newer farm has written it.
        RunDamagedError: Redis lost a part of it.
    """
    parts = ("meta", "records", "works")
    meta, records, works = run.store.ask(("hgetall", run.key(part)) for part in parts)
    if not meta:
        raise StateError(f"there is no run {run}", hint="`farm status` lists them")
    try:
        return _run_record(run, meta, records, works)
    except _LostPartError as error:
        raise RunDamagedError(
            f"Redis lost a part of run {run}: {error}",
            hint=f"`farm cancel {run}` closes it; push again: what was pushed is not built again",
        ) from error
    except (ValueError, TypeError, KeyError) as error:
        raise StateError(
            f"run {run} cannot be read: {error}", hint="does a newer farm write it? upgrade this one"
        ) from error


def _run_record(
    run: RunHandle, meta: dict[str, str], records: dict[str, str], works: dict[str, str]
) -> RunRecord:
    names = json.loads(_stored(meta, "packages"))
    return RunRecord(
        run.id,
        RunState(_stored(meta, "state")),
        _stored(meta, "submitter"),
        float(_stored(meta, "created")),
        float(meta["finished"]) if "finished" in meta else None,
        {name: _package(name, json.loads(_stored(works, name)), records) for name in names},
        meta.get("retry_of", ""),
        known_priority(meta.get("priority")),
    )


class _LostPartError(Exception):
    """A field of a run's hashes is absent."""


def _stored(fields: Mapping[str, str], name: str) -> str:
    if name not in fields:
        raise _LostPartError(name)
    return fields[name]


def close_damaged(run: RunHandle) -> None:
    """End a run of which Redis lost a part, and what is in progress: its records go."""
    ended = {"state": str(RunState.CANCELLED), "finished": run.store.now()}
    event = {"record": "R", "value": json.dumps({"state": RunState.CANCELLED})}
    rest = [run.key(part) for part in _PARTS if part not in ("meta", "events")]
    run.store.ask(
        [
            ("delete", *rest),
            ("hset", run.key("meta"), None, None, ended),
            ("xadd", run.key("events"), event),
        ]
    )


def _package(name: str, work: dict[str, Any], records: dict[str, str]) -> PackageRecord:
    jobs = {arch: parse_job(_stored(records, job_field(name, arch))) for arch in work["arches"]}
    return replace(
        parse_package(_stored(records, package_field(name)), jobs), needs=tuple(work.get("needs", ()))
    )


def read_work(package: PackageHandle) -> PackageWork:
    """Read what a run has to do for one package; StateError if the run has no such package."""
    return read_works(package.run, [package.name])[0]


def read_works(run: RunHandle, packages: Sequence[str]) -> list[PackageWork]:
    """Read what a run has to do for each of these packages.

    Raises:
        StateError: it does not have one of them, or somebody else wrote it.
        NotUnderstoodError, InputError: another release wrote it.
    """
    found = zip(packages, _read(run, "works", packages), strict=True)
    return [_work(run.package(name), text) for name, text in found]


def _work(package: PackageHandle, text: str | None) -> PackageWork:
    known = _known(package, text)
    try:
        data = json_object(known)
    except ValueError as error:
        raise RunDamagedError(f"{package.run}: what {package} has to do cannot be read: {error}") from error
    return PackageWork.from_json(data)


@translate_redis_errors
def read_order(
    run: RunHandle, packages: Sequence[str], known: SignedOrder | None = None
) -> tuple[SignedOrder, list[bytes]]:
    """Read a run's order, unless it is `known`, and the parts of packages; nothing of it is verified.

    Raises:
        StateError: one of them does not exist, or is longer than any that a farm writes.
    """
    fields = [("works", package, MAX_PART) for package in packages]
    if known is None:
        fields = [("order", "document", MAX_ORDER), ("order", "signature", MAX_SIGNATURE), *fields]
    found: list[bytes] = []
    for at in range(0, len(fields), _BATCH):
        found += _read_bounded(run, fields[at : at + _BATCH])
    if known is None:
        document, signature, *found = found
        known = SignedOrder(document, signature.decode("ascii", "replace"))
    return known, found


def _read_bounded(run: RunHandle, fields: Sequence[tuple[str, str, int]]) -> list[bytes]:
    """Fields of the run's hashes, each with the most bytes that it may have."""
    pipeline: Any = run.store.binary.pipeline(transaction=False)
    for part, field, _ in fields:
        pipeline.hstrlen(run.key(part), field)
    for (part, field, most), length in zip(fields, pipeline.execute(), strict=True):
        if not 0 < length <= most:
            what = "lacks" if not length else f"has {length} bytes of"
            raise StateError(f"run {run} {what} its {part} ({field})", hint="push again")
    for part, field, _ in fields:
        pipeline.hget(run.key(part), field)
    return [answer or b"" for answer in pipeline.execute()]


def read_package(package: PackageHandle) -> PackageRecord:
    """Read the record of one package, without its jobs; StateError if the run has no such package."""
    (text,) = _read(package.run, "records", [package.field])
    return parse_package(_known(package, text))


def read_jobs(package: PackageHandle, arches: Sequence[str]) -> list[JobRecord]:
    """Read the records of one package's jobs, in the order of `arches`; unknown ones are left out."""
    texts = _read(package.run, "records", [package.job(arch).field for arch in arches])
    return [parse_job(text) for text in texts if text is not None]


def read_job(job: JobHandle) -> JobRecord | None:
    """Read the record of one job; None where it is unknown."""
    return next(iter(read_jobs(job.package, [job.arch])), None)


def dependents(package: PackageHandle) -> list[PackageHandle]:
    """The packages of the run that depend on this one."""
    (text,) = _read(package.run, "dependents", [package.name])
    return [package.run.package(name) for name in json.loads(text or "[]")]


def succeeded(run: RunHandle, packages: Iterable[str]) -> set[str]:
    """Those of these packages of a run that have succeeded."""
    names = list(dict.fromkeys(packages))
    texts = zip(names, _read(run, "records", [package_field(name) for name in names]), strict=True)
    return {name for name, text in texts if text is not None and parse_package(text).state.succeeded}


def _known(package: PackageHandle, text: str | None) -> str:
    if text is None:
        run = package.run
        raise StateError(f"run {run} has no package {package}", hint=f"`farm status {run}` lists them")
    return text


def _read(run: RunHandle, part: str, fields: Sequence[str]) -> list[str | None]:
    """Fields of one of the run's hashes; None for those that it does not have."""
    found: list[str | None] = run.store.ask([("hmget", run.key(part), fields)])[0] if fields else []
    return found
