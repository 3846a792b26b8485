"""Cancelling a run, or a part of it: the state says so at once, and whoever works on it stops.

Queued tasks find their job cancelled and end without doing anything; a running build is told by the keeper of
its lease, within a second, and ends in the engine too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from farm import coordinator
from farm.errors import CancelledError, StateError
from farm.state import moves, runs

if TYPE_CHECKING:
    from farm.state.records import PackageRecord, RunRecord
    from farm.state.store import Store


@dataclass(frozen=True, slots=True)
class Cancelled:
    """What had not ended before, and is cancelled now."""

    packages: tuple[str, ...]
    jobs: tuple[tuple[str, str], ...]
    """(package, architecture)."""


def cancel(
    store: Store, run: str, *, package: str | None = None, arch: str | None = None, by: str
) -> Cancelled:
    """Cancel what has not ended of a run.

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
        return _cancel_arch(store, record, chosen, arch, by)
    return _cancel_packages(store, record, chosen, by)


def _cancel_packages(store: Store, record: RunRecord, chosen: list[PackageRecord], by: str) -> Cancelled:
    packages = [package for package in chosen if not package.state.ended]
    why = {one.package: CancelledError(f"{one.package}: cancelled by {by}") for one in packages}
    ended = moves.end_packages(store, record.id, why)
    jobs = _end_jobs(store, record.id, [(one.package, arch) for one in packages for arch in one.jobs], by)
    if len(chosen) < len(record.packages):
        for package in ended:
            coordinator.end_dependents(store, record.id, package)
    return Cancelled(tuple(ended), jobs)


def _cancel_arch(
    store: Store, record: RunRecord, chosen: list[PackageRecord], arch: str, by: str
) -> Cancelled:
    pairs = [(package.package, arch) for package in chosen if arch in package.jobs]
    if not pairs:
        raise StateError(
            f"run {record.id} builds nothing of that for {arch}", hint=f"`farm status {record.id}` shows it"
        )
    jobs = _end_jobs(store, record.id, pairs, by)
    settled = [name for name, _ in jobs if coordinator.settle(store, record.id, name)]
    return Cancelled(tuple(settled), jobs)


def _end_jobs(store: Store, run: str, pairs: list[tuple[str, str]], by: str) -> tuple[tuple[str, str], ...]:
    why = {(name, arch): CancelledError(f"{name} {arch}: cancelled by {by}") for name, arch in pairs}
    return tuple(moves.end_jobs(store, run, why))
