"""Read a run, its records and its work."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

from farm.errors import StateError
from farm.model import PackageWork, RunState
from farm.state.records import (
    JobRecord,
    PackageRecord,
    RunRecord,
    job_field,
    package_field,
    parse_job,
    parse_package,
)
from farm.state.store import translate_redis_errors

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from farm.state.run_handles import JobHandle, PackageHandle, RunHandle


def read_run(run: RunHandle) -> RunRecord:
    """Read a run with all its packages and jobs, in one round trip; StateError if there is no such run."""
    parts = ("meta", "records", "works")
    meta, records, works = run.store.ask(("hgetall", run.key(part)) for part in parts)
    if not meta:
        raise StateError(f"there is no run {run}", hint="`farm status` lists them")
    names = json.loads(meta["packages"])
    return RunRecord(
        run.id,
        RunState(meta["state"]),
        meta["submitter"],
        float(meta["created"]),
        float(meta["finished"]) if "finished" in meta else None,
        {name: _package(name, json.loads(works[name]), records) for name in names},
        meta.get("retry_of", ""),
    )


def _package(name: str, work: dict[str, Any], records: dict[str, str]) -> PackageRecord:
    jobs = {arch: parse_job(records[job_field(name, arch)]) for arch in work["arches"]}
    return replace(parse_package(records[package_field(name)], jobs), needs=tuple(work["needs"]))


@translate_redis_errors
def read_work(package: PackageHandle) -> PackageWork:
    """Read what a run has to do for one package; StateError if the run has no such package."""
    return PackageWork.from_json(json.loads(_read(package, "works", package.name)))


@translate_redis_errors
def read_works(run: RunHandle, packages: Sequence[str]) -> list[PackageWork]:
    """Read what a run has to do for each of these packages of it."""
    texts = cast("list[str]", run.store.text.hmget(run.key("works"), list(packages))) if packages else []
    return [PackageWork.from_json(json.loads(text)) for text in texts]


@translate_redis_errors
def read_package(package: PackageHandle) -> PackageRecord:
    """Read the record of one package, without its jobs; StateError if the run has no such package."""
    return parse_package(_read(package, "records", package.field))


def _read(package: PackageHandle, part: str, field: str) -> str:
    run = package.run
    text = run.store.text.hget(run.key(part), field)
    if text is None:
        raise StateError(f"run {run} has no package {package}", hint=f"`farm status {run}` lists them")
    return cast("str", text)


@translate_redis_errors
def read_jobs(package: PackageHandle, arches: Sequence[str]) -> list[JobRecord]:
    """Read the records of one package's jobs, in the order of `arches`; unknown ones are left out."""
    texts = _records(package.run, [package.job(arch).field for arch in arches])
    return [parse_job(text) for text in texts if text is not None]


def read_job(job: JobHandle) -> JobRecord | None:
    """Read the record of one job; None where it is unknown."""
    return next(iter(read_jobs(job.package, [job.arch])), None)


@translate_redis_errors
def dependents(package: PackageHandle) -> list[PackageHandle]:
    """The packages of the run that depend on this one."""
    text = package.store.text.hget(package.run.key("dependents"), package.name)
    names = json.loads(cast("str", text)) if text else []
    return [package.run.package(name) for name in names]


@translate_redis_errors
def all_succeeded(run: RunHandle, packages: Iterable[str]) -> bool:
    """Whether all of these packages of a run have succeeded."""
    texts = _records(run, [package_field(name) for name in packages])
    return all(text is not None and parse_package(text).state.succeeded for text in texts)


def _records(run: RunHandle, fields: list[str]) -> list[str | None]:
    return cast("list[str | None]", run.store.text.hmget(run.key("records"), fields)) if fields else []
