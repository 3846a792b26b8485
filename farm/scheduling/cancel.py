"""Cancelling a run, or a part of it: the state says so at once, and whoever works on it stops.

Queued tasks find their job cancelled and end without doing anything; a running build is told by the keeper of
its lease, within a second, and ends in the engine too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from farm.errors import CancelledError, StateError
from farm.model import JobState, PackageState
from farm.scheduling import coordinator
from farm.state import runs, transitions

if TYPE_CHECKING:
    from farm.state.records import PackageRecord, RunRecord
    from farm.state.store import Store


@dataclass(frozen=True, slots=True)
class Cancelled:
    """What had not ended before, and is cancelled now; with it what needs it."""

    packages: tuple[str, ...]
    jobs: tuple[tuple[str, str], ...]
    """(package, architecture)."""


def cancel(
    store: Store, run: str, *, package: str | None = None, arch: str | None = None, by: str
) -> Cancelled:
    """Cancel what has not ended of a run; cut off at any line, the same call again finishes it.

    Args:
        store: where the run is kept.
        run: its name.
        package: only this one of its packages, by its name or the last part of it.
        arch: only this architecture's builds; the others go on, and no index is published.
        by: who does so, for people.

    Raises:
        StateError: there is no such run, package, or architecture.
    """
    record = runs.read_run(store, run)
    chosen = [record.packages[record.named(package)]] if package else list(record.packages.values())
    if arch:
        _cancel_arch(store, record, chosen, arch, by)
    else:
        _cancel_packages(store, record, chosen, by)
    return _cancelled(record, runs.read_run(store, run))


def _cancel_packages(store: Store, record: RunRecord, chosen: list[PackageRecord], by: str) -> None:
    pairs = [(one.package, arch) for one in chosen for arch, job in one.jobs.items() if not job.state.ended]
    # Jobs first, also those of a package that has ended: whoever is cut off here has left nothing under way,
    # and the reconciler ends the packages, as it does with all whose jobs have ended.
    _end_jobs(store, record.id, pairs, by)
    after = runs.read_run(store, record.id).packages
    left = [after[one.package] for one in chosen if not after[one.package].state.ended]
    for one in left:
        # A failure stays the reason, as it does when nobody cancels.
        if any(job.state is JobState.FAILED for job in one.jobs.values()):
            coordinator.settle(store, record.id, one.package)
    why = {one.package: CancelledError(f"{one.package}: cancelled by {by}") for one in left}
    transitions.end_packages(store, record.id, why)
    if len(chosen) < len(record.packages):
        for one in chosen:
            if not runs.stand(store, record.id, [one.package]):
                coordinator.end_dependents(store, record.id, one.package)


def _cancel_arch(store: Store, record: RunRecord, chosen: list[PackageRecord], arch: str, by: str) -> None:
    concerned = [package for package in chosen if arch in package.jobs]
    if not concerned:
        raise StateError(
            f"run {record.id} builds nothing of that for {arch}", hint=f"`farm status {record.id}` shows it"
        )
    _end_jobs(store, record.id, [(package.package, arch) for package in concerned], by)
    for package in concerned:
        if not package.state.ended:
            coordinator.settle(store, record.id, package.package)


def _end_jobs(store: Store, run: str, pairs: list[tuple[str, str]], by: str) -> None:
    why = {(name, arch): CancelledError(f"{name} {arch}: cancelled by {by}") for name, arch in pairs}
    transitions.end_jobs(store, run, why)


def _cancelled(before: RunRecord, after: RunRecord) -> Cancelled:
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
    return Cancelled(tuple(packages), tuple(jobs))
