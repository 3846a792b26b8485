"""Cancel a run or a part of it: the records change at once, and the tasks notice.

A queued task finds its job cancelled and ends. A running build is stopped, in the engine too, within a
second: when its lease is renewed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from farm.errors import CancelledError, RunDamagedError, StateError
from farm.model import JobState, PackageState
from farm.scheduling import coordinator
from farm.state import transitions
from farm.state.runs import close_damaged, read_run, succeeded

if TYPE_CHECKING:
    from farm.state.records import PackageRecord, RunRecord
    from farm.state.run_handles import RunHandle


@dataclass(frozen=True, slots=True)
class CancelResult:
    """What was cancelled, dependents included; what had ended before is left out."""

    packages: tuple[str, ...]
    jobs: tuple[tuple[str, str], ...]
    """(package, architecture)."""
    damaged: RunDamagedError | None = None
    """What Redis lost of the run, which is closed therefore."""


def cancel(run: RunHandle, *, package: str | None = None, arch: str | None = None, by: str) -> CancelResult:
    """Cancel what has not ended of a run, or of one package or architecture of it.

    If it is cut off at any line, the same call again finishes it. `package` is a name or the last part of
    it. Jobs of other architectures continue, but no index is published. `by` says to people who cancels. A
    run of which Redis lost a part can only be closed as a whole.
    """
    try:
        record = read_run(run)
    except RunDamagedError as error:
        if package or arch:
            raise
        close_damaged(run)
        return CancelResult((), (), error)
    chosen = [record.packages[record.find_package(package)]] if package else list(record.packages.values())
    jobs = [
        run.package(one.package).job(name) for one in chosen for name in one.jobs if not arch or name == arch
    ]
    if arch and not jobs:
        raise StateError(
            f"run {run} builds none of these packages for {arch}", hint=f"`farm status {run}` shows it"
        )
    # Jobs first, also those of packages that have ended: if this is cut off, nothing goes on, and the
    # reconciler ends the packages, as it does with all whose jobs have ended.
    transitions.cancel_jobs(run, {job: CancelledError(f"{job}: cancelled by {by}") for job in jobs})
    if arch:
        for job in jobs:
            coordinator.settle(job.package)
    else:
        _end_packages(run, chosen, by)
        if len(chosen) < len(record.packages):
            names = [one.package for one in chosen]
            done = succeeded(run, names)
            for name in names:
                if name not in done:
                    coordinator.end_dependents(run.package(name))
    return _result(record, read_run(run))


def _end_packages(run: RunHandle, chosen: list[PackageRecord], by: str) -> None:
    current = read_run(run).packages
    remaining = [one.package for one in chosen if not current[one.package].state.ended]
    for name in remaining:
        # A job that failed stays the reason, as it is when nobody cancels.
        if any(job.state is JobState.FAILED for job in current[name].jobs.values()):
            coordinator.settle(run.package(name))
    errors = {run.package(name): CancelledError(f"{name}: cancelled by {by}") for name in remaining}
    transitions.end_packages(run, errors)


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
