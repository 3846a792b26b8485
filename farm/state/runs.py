"""Runs in Redis: made whole, and read; `moves` changes them, one record at a time."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

from redis.exceptions import WatchError

from farm.errors import StateError, StateUnavailableError
from farm.model import ARCHES, JobState, PackageState, PackageWork, Run, RunState
from farm.state.records import (
    JobRecord,
    PackageRecord,
    RunRecord,
    job_field,
    package_field,
    read_job,
    read_package,
)
from farm.state.store import (
    OPEN_RUNS,
    RUN_NUMBER,
    RUNS,
    Store,
    follow_stream,
    run_key,
    translate_redis_errors,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

_PARTS = ("meta", "records", "works", "dependents", "left", "events", "hand", "due")
_MOST_RUNS = 10_000


@translate_redis_errors
def next_run(store: Store) -> str:
    """A name for a new run: r1, r2, ..."""
    return f"r{store.text.incr(RUN_NUMBER)}"


@translate_redis_errors
def create_run(store: Store, run: Run) -> None:
    """Store a run with all its work, in one transaction; its first packages are then due to be started.

    The same transaction names it among the open runs: however late it comes, what is stored is looked after.

    Raises:
        StateUnavailableError: Redis went away before it was stored.
    """
    try:
        _create(store, run)
    except WatchError as error:
        # An answer was lost. Not asked again, since by now somebody may be at work on what is stored.
        if not is_known(store, run.id):
            raise StateUnavailableError(
                "Redis went away while the run was stored", hint="push again"
            ) from error


def _create(store: Store, run: Run) -> None:
    now = store.now()
    records, works, dependents = _first_records(run)
    pipeline: Any = store.text.pipeline()
    pipeline.watch(run_key(run.id, "meta"))
    pipeline.multi()
    meta = {"state": str(RunState.OPEN), "submitter": run.submitter, "created": str(run.created)}
    if run.retry_of:
        meta["retry_of"] = run.retry_of
    meta["packages"] = json.dumps([work.package for work in run.works])
    parts = {"meta": meta | {"open": str(len(run.works))}, "records": records, "works": works}
    left = {package_field(work.package): str(len(work.jobs)) for work in run.works}
    for part, mapping in (parts | {"dependents": dependents, "left": left}).items():
        if mapping:
            pipeline.hset(run_key(run.id, part), items=[word for pair in mapping.items() for word in pair])
    pipeline.zadd(OPEN_RUNS, {run.id: now})
    pipeline.zadd(RUNS, {run.id: run.created})
    due = {package_field(work.package): now for work in run.works if not work.needs}
    pipeline.zadd(run_key(run.id, "due"), due)
    pipeline.execute()


def _first_records(run: Run) -> tuple[dict[str, str], dict[str, str], dict[str, str]]:
    records: dict[str, str] = {}
    dependents: dict[str, list[str]] = {}
    for work in run.works:
        records[package_field(work.package)] = json.dumps(
            {
                "package": work.package,
                "reference": str(work.reference),
                "state": PackageState.WAITING,
                "at": run.created,
            }
        )
        for arch in work.arches:
            records[job_field(work.package, arch)] = json.dumps(_first_job(work, arch, run.created))
        for need in work.needs:
            dependents.setdefault(need, []).append(work.package)
    works = {work.package: json.dumps(work.to_json()) for work in run.works}
    return records, works, {need: json.dumps(names) for need, names in dependents.items()}


def _first_job(work: PackageWork, arch: str, now: float) -> dict[str, Any]:
    standing = next((image for image in work.standing if image.arch == arch), None)
    if standing:
        return {"arch": arch, "state": JobState.EXISTS, "at": now, "image": json.dumps(standing.to_json())}
    return {"arch": arch, "state": JobState.WAITING, "at": now}


@translate_redis_errors
def forget(store: Store, run: str) -> None:
    """Count a run no longer among the open ones."""
    store.text.zrem(OPEN_RUNS, run)


@translate_redis_errors
def retire(store: Store, run: str, *, keep: float) -> None:
    """Let a run that has ended expire in `keep` seconds, and remember the newest runs only."""
    pipeline = store.text.pipeline()
    for part in (*_PARTS, *(f"queued:{arch}" for arch in ARCHES)):
        pipeline.expire(run_key(run, part), int(keep))
    pipeline.execute()
    store.text.zremrangebyrank(RUNS, 0, -_MOST_RUNS - 1)
    forget(store, run)


@translate_redis_errors
def read_run(store: Store, run: str) -> RunRecord:
    """A run as it stands, in one round trip.

    Raises:
        StateError: there is no such run.
    """
    pipeline = store.text.pipeline(transaction=False)
    pipeline.hgetall(run_key(run, "meta"))
    pipeline.hgetall(run_key(run, "records"))
    pipeline.hgetall(run_key(run, "works"))
    meta, records, works = pipeline.execute()
    if not meta:
        raise StateError(f"there is no run {run}", hint="`farm status` lists them")
    # A hash forgets the order in which it was filled.
    names = json.loads(meta["packages"])
    packages = {name: _package(name, json.loads(works[name]), records) for name in names}
    finished = float(meta["finished"]) if "finished" in meta else None
    return RunRecord(
        run,
        RunState(meta["state"]),
        meta["submitter"],
        float(meta["created"]),
        finished,
        packages,
        meta.get("retry_of", ""),
    )


def _package(name: str, work: dict[str, Any], records: dict[str, str]) -> PackageRecord:
    jobs = {arch: read_job(records[job_field(name, arch)]) for arch in work["arches"]}
    return replace(read_package(records[package_field(name)], jobs), needs=tuple(work["needs"]))


@translate_redis_errors
def is_known(store: Store, run: str) -> bool:
    """Whether the state knows a run (still)."""
    return bool(store.text.exists(run_key(run, "meta")))


@translate_redis_errors
def list_runs(store: Store, most: int = 20) -> list[dict[str, Any]]:
    """The newest runs: {run, state, submitter, created, finished, packages}."""
    names = cast("list[str]", store.text.zrevrange(RUNS, 0, most - 1))
    pipeline = store.text.pipeline(transaction=False)
    for name in names:
        pipeline.hgetall(run_key(name, "meta"))
        pipeline.hlen(run_key(name, "works"))
    answers = pipeline.execute()
    rows = zip(names, answers[::2], answers[1::2], strict=True)
    return [_row(name, meta, count) for name, meta, count in rows if meta]


def _row(name: str, meta: dict[str, str], packages: int) -> dict[str, Any]:
    return {
        "run": name,
        "state": meta["state"],
        "submitter": meta["submitter"],
        "created": float(meta["created"]),
        "finished": float(meta["finished"]) if "finished" in meta else None,
        "packages": packages,
    }


@translate_redis_errors
def open_runs(store: Store) -> int:
    """How many of the newest runs are not ended."""
    return sum(row["state"] == RunState.OPEN for row in list_runs(store, 100))


@translate_redis_errors
def read_work(store: Store, run: str, package: str) -> PackageWork:
    """What a run has to do for one package."""
    text = store.text.hget(run_key(run, "works"), package)
    if text is None:
        raise StateError(f"run {run} has no package {package}", hint=f"`farm status {run}` lists them")
    return PackageWork.from_json(json.loads(cast("str", text)))


@translate_redis_errors
def read_works(store: Store, run: str, packages: Sequence[str]) -> list[PackageWork]:
    """What a run has to do for each of these packages of it."""
    texts = cast("list[str]", store.text.hmget(run_key(run, "works"), list(packages))) if packages else []
    return [PackageWork.from_json(json.loads(text)) for text in texts]


@translate_redis_errors
def read_jobs(store: Store, run: str, package: str, arches: Sequence[str]) -> list[JobRecord]:
    """The jobs of one package, in the order of `arches`."""
    names = [job_field(package, arch) for arch in arches]
    texts = cast("list[str | None]", store.text.hmget(run_key(run, "records"), names)) if names else []
    return [read_job(text) for text in texts if text is not None]


@translate_redis_errors
def read_package_record(store: Store, run: str, package: str) -> PackageRecord:
    """One package as it stands, without its jobs."""
    text = store.text.hget(run_key(run, "records"), package_field(package))
    if text is None:
        raise StateError(f"run {run} has no package {package}", hint=f"`farm status {run}` lists them")
    return read_package(cast("str", text))


@translate_redis_errors
def dependents(store: Store, run: str, package: str) -> list[str]:
    """The packages of a run that need this one."""
    text = store.text.hget(run_key(run, "dependents"), package)
    return list(json.loads(cast("str", text))) if text else []


@translate_redis_errors
def stand(store: Store, run: str, packages: Iterable[str]) -> bool:
    """Whether all of these packages of a run are published as asked for."""
    names = [package_field(package) for package in packages]
    texts = cast("list[str | None]", store.text.hmget(run_key(run, "records"), names)) if names else []
    return all(text is not None and read_package(text).state.stands for text in texts)


def events(store: Store, run: str) -> Iterator[tuple[str, str] | None]:
    """Each change of a run from its start, as (record name, JSON); None after each second without one."""
    for fields in follow_stream(store, run_key(run, "events")):
        yield (fields["record"], fields["value"]) if fields else None
