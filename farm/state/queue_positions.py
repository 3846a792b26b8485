"""What is ahead of a run's waiting jobs, read in a few round trips however many jobs there are."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from farm.model import JobState
from farm.state.earlier_builds import durations_by_arch
from farm.state.records import arch_of
from farm.state.store import OPEN_RUNS, Store, run_key
from farm.state.workers import workers

if TYPE_CHECKING:
    from farm.state.records import RunRecord

_JOB = "J "


@dataclass(frozen=True, slots=True)
class QueuePosition:
    """The queue of one architecture from a run's point of view."""

    slots: int = 0
    """Builds that the architecture's workers can run at once; 0 if no worker is up."""
    ahead: int = 0
    """Jobs of other runs that were queued before this run's first."""
    in_progress: int = 0
    """Jobs in progress."""
    durations: tuple[float, ...] = ()
    """Seconds that the last builds of the architecture took."""


def read_queue_positions(store: Store, record: RunRecord) -> dict[str, QueuePosition]:
    """The queue of each architecture for which a run has jobs waiting."""
    first: dict[str, float] = {}
    for package in record.packages.values():
        for job in package.jobs.values():
            if job.state is JobState.QUEUED and not job.waiting_for:
                first[job.arch] = min(job.at, first.get(job.arch, job.at))
    if not first:
        return {}
    ahead, in_progress = _count(store, record.id, first)
    durations = durations_by_arch(store, tuple(first))
    slots: Counter[str] = Counter()
    for worker in workers(store):
        if worker.serving:
            slots.update(dict.fromkeys(worker.arches, worker.slots))
    return {
        arch: QueuePosition(slots[arch], ahead[arch], in_progress[arch], tuple(durations[arch]))
        for arch in first
    }


def _count(store: Store, own: str, first: dict[str, float]) -> tuple[Counter[str], Counter[str]]:
    """The jobs ahead of the run `own` and those in progress, by architecture."""
    (runs,) = store.ask([("zrange", OPEN_RUNS, 0, -1)])
    leased = store.ask(("zrange", run_key(run, "in-progress"), 0, -1) for run in runs)
    in_progress = Counter(arch_of(field) for fields in leased for field in fields if field.startswith(_JOB))
    queues = [(arch, run) for arch in first for run in runs if run != own]
    counts = store.ask(
        ("zcount", run_key(run, f"queued:{arch}"), "-inf", f"({first[arch]}") for arch, run in queues
    )
    ahead: Counter[str] = Counter()
    for (arch, _), count in zip(queues, counts, strict=True):
        ahead[arch] += count
    return ahead, in_progress
