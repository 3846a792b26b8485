"""What of a run is to be done again: pure functions over what it had to do and how that ended."""

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
    """The packages of a run that ended and do not stand, in its order; of the chosen ones, if any.

    With them comes what they need and does not stand either: each package to the one that needs it, or to ""
    where it was asked for.

    Raises:
        StateError: one of them needs what is still under way.
    """
    asked = [
        name for name, package in record.packages.items() if _fell(package) and (not chosen or name in chosen)
    ]
    needed = dict.fromkeys(asked, "")
    left = list(asked)
    while left:
        name = left.pop()
        for need in record.packages[name].needs:
            package = record.packages[need]
            if not package.state.ended:
                raise StateError(
                    f"{name} needs {need}, which is still {package.state} in {record.id}",
                    hint=f"farm retry {record.id} when that has ended",
                )
            if _fell(package) and need not in needed:
                needed[need] = name
                left.append(need)
    return {name: needed[name] for name in record.packages if name in needed}


def _fell(package: PackageRecord) -> bool:
    return package.state.ended and not package.state.succeeded


def again(
    record: RunRecord, works: Sequence[PackageWork], *, run: str, submitter: str, created: float
) -> Run:
    """The run that does only what failed, was cancelled or was lost.

    Args:
        record: the run as it ended.
        works: what it had to do, for each of the packages of `to_repeat`: what else they need stands.
        run: the new run's name.
        submitter: who asks for it.
        created: Unix time, seconds.
    """
    names = {work.package for work in works}
    repeated = tuple(_again(work, record.packages[work.package].jobs, run, names) for work in works)
    return Run(run, submitter, created, repeated, retry_of=record.id)


def _again(work: PackageWork, jobs: Mapping[str, JobRecord], run: str, names: set[str]) -> PackageWork:
    landed: dict[str, ArchImage] = {
        arch: job.image for arch, job in jobs.items() if job.state.succeeded and job.image
    }
    return replace(
        work,
        jobs=tuple(replace(job, run=run) for job in work.jobs if job.arch not in landed),
        existing=tuple(landed.values()),
        needs=tuple(need for need in work.needs if need in names),
    )
