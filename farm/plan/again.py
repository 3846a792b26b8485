"""What of a run is to be done again: a pure function over what it had to do and how that ended."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from farm.model import Run

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from farm.model import ArchImage, PackageWork
    from farm.state.records import JobRecord, RunRecord


def to_repeat(record: RunRecord, chosen: Sequence[str] = ()) -> list[str]:
    """The packages of a run that ended and do not stand, in its order; of the chosen ones, if any."""
    return [
        name
        for name, package in record.packages.items()
        if package.state.ended and not package.state.stands and (not chosen or name in chosen)
    ]


def again(
    record: RunRecord, works: Sequence[PackageWork], *, run: str, submitter: str, created: float
) -> Run:
    """The run that does only what failed, was cancelled or was lost.

    Args:
        record: the run as it ended.
        works: what it had to do, for each of the packages that are to be repeated.
        run: the new run's name.
        submitter: who asks for it.
        created: Unix time, seconds.
    """
    names = {work.package for work in works}
    repeated = tuple(_again(work, record.packages[work.package].jobs, run, names) for work in works)
    return Run(run, submitter, created, repeated, retry_of=record.id)


def _again(work: PackageWork, jobs: Mapping[str, JobRecord], run: str, names: set[str]) -> PackageWork:
    landed: dict[str, ArchImage] = {
        arch: job.image for arch, job in jobs.items() if job.state.landed and job.image
    }
    return replace(
        work,
        jobs=tuple(replace(job, run=run) for job in work.jobs if job.arch not in landed),
        standing=tuple(landed.values()),
        needs=tuple(need for need in work.needs if need in names),
    )
