"""What a retry repeats of a run: pure functions over its works and how they ended."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from farm.errors import StateError
from farm.model import Run

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from farm.model import ArchImage, PackageWork
    from farm.state.records import JobRecord, PackageRecord, RunRecord


def to_repeat(record: RunRecord, chosen: Sequence[str] = ()) -> dict[str, str]:
    """The packages of a run, in its order, that failed or were cancelled; of the chosen ones, if any.

    Their dependencies that failed or were cancelled are added.

    Returns:
        Package to the package that needs it, or to "" if it was chosen.

    Raises:
        StateError: one of them needs a package that is still in progress.
    """
    asked = [
        name
        for name, package in record.packages.items()
        if _unsuccessful(package) and (not chosen or name in chosen)
    ]
    needed = dict.fromkeys(asked, "")
    unchecked = list(asked)
    while unchecked:
        name = unchecked.pop()
        for need in record.packages[name].needs:
            package = record.packages[need]
            if not package.state.ended:
                raise StateError(
                    f"{name} needs {need}, which is still {package.state} in {record.id}",
                    hint=f"farm retry {record.id} when that has ended",
                )
            if _unsuccessful(package) and need not in needed:
                needed[need] = name
                unchecked.append(need)
    return {name: needed[name] for name in record.packages if name in needed}


def _unsuccessful(package: PackageRecord) -> bool:
    return package.state.ended and not package.state.succeeded


def again(
    record: RunRecord, works: Sequence[PackageWork], *, run: str, submitter: str, created: float
) -> Run:
    """The run that repeats only what failed, was cancelled or was lost.

    Args:
        record: the run that ended.
        works: its works for the packages of `to_repeat`; other packages that they need are published.
        run: the new run's name.
        submitter: who asks for it.
        created: Unix time, seconds.
    """
    names = {work.package for work in works}
    repeated = tuple(_again(work, record.packages[work.package].jobs, run, names) for work in works)
    return Run(run, submitter, created, repeated, retry_of=record.id)


def _again(work: PackageWork, jobs: Mapping[str, JobRecord], run: str, names: set[str]) -> PackageWork:
    built: dict[str, ArchImage] = {
        arch: job.image for arch, job in jobs.items() if job.state.succeeded and job.image
    }
    return replace(
        work,
        jobs=tuple(replace(job, run=run) for job in work.jobs if job.arch not in built),
        existing=tuple(built.values()),
        needs=tuple(need for need in work.needs if need in names),
    )
