"""Cancel a run or a part of it: the records change at once, and the tasks notice.

A queued task finds its job cancelled and ends. A running build is stopped, in the engine too, within a
second: when its lease is renewed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from farm.errors import CancelledError, StateError
from farm.model import JobState, PackageState
from farm.scheduling import coordinator
from farm.state import transitions
from farm.state.runs import all_succeeded, read_run

if TYPE_CHECKING:
    from farm.state.records import PackageRecord, RunRecord
    from farm.state.run_handles import JobHandle, RunHandle


@dataclass(frozen=True, slots=True)
class CancelResult:
    """What was cancelled, dependents included; what had ended before is left out."""

    packages: tuple[str, ...]
    jobs: tuple[tuple[str, str], ...]
    """(package, architecture)."""


def cancel(run: RunHandle, *, package: str | None = None, arch: str | None = None, by: str) -> CancelResult:
    """Cancel what has not ended of a run, or of one package or architecture of it.

    If it is cut off at any line, the same call again finishes it. `package` is a name or the last part of
    it. Jobs of other architectures continue, but no index is published. `by` says to people who cancels.
    """
    record = read_run(run)
    chosen = [record.packages[record.find_package(package)]] if package else list(record.packages.values())
    if arch:
        _cancel_arch(run, chosen, arch, by)
    else:
        _cancel_packages(run, record, chosen, by)
    return _result(record, read_run(run))


def _cancel_packages(run: RunHandle, record: RunRecord, chosen: list[PackageRecord], by: str) -> None:
    # Jobs first, also those of packages that have ended: if this is cut off, nothing goes on, and the
    # reconciler ends the packages, as it does with all whose jobs have ended.
    jobs = [
        run.package(package.package).job(arch)
        for package in chosen
        for arch, job in package.jobs.items()
        if not job.state.ended
    ]
    _cancel_jobs(run, jobs, by)
    current = read_run(run).packages
    remaining = [current[one.package] for one in chosen if not current[one.package].state.ended]
    for one in remaining:
        # A job that failed stays the reason, as it is when nobody cancels.
        if any(job.state is JobState.FAILED for job in one.jobs.values()):
            coordinator.settle(run.package(one.package))
    transitions.end_packages(
        run,
        {run.package(one.package): CancelledError(f"{one.package}: cancelled by {by}") for one in remaining},
    )
    if len(chosen) < len(record.packages):
        for one in chosen:
            if not all_succeeded(run, [one.package]):
                coordinator.end_dependents(run.package(one.package))


def _cancel_arch(run: RunHandle, chosen: list[PackageRecord], arch: str, by: str) -> None:
    concerned = [package for package in chosen if arch in package.jobs]
    if not concerned:
        raise StateError(
            f"run {run} builds none of these packages for {arch}", hint=f"`farm status {run}` shows it"
        )
    _cancel_jobs(run, [run.package(package.package).job(arch) for package in concerned], by)
    for package in concerned:
        if not package.state.ended:
            coordinator.settle(run.package(package.package))


def _cancel_jobs(run: RunHandle, jobs: list[JobHandle], by: str) -> None:
    transitions.cancel_jobs(run, {job: CancelledError(f"{job}: cancelled by {by}") for job in jobs})


def _result(before: RunRecord, after: RunRecord) -> CancelResult:
    packages = [
        name
        for name, package in after.packages.items()
        if package.state is PackageState.CANCELLED and not before.packages[name].state.ended
    ]
    jobs = [
        (name, arch)
        for name, package in after.packages.items()
        for arch, job in package.jobs.items()
        if job.state is JobState.CANCELLED and not before.packages[name].jobs[arch].state.ended
    ]
    return CancelResult(tuple(packages), tuple(jobs))
