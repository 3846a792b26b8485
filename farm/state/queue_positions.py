"""What is ahead of a run's waiting jobs, read in two round trips however many jobs there are."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from farm.model import JobState
from farm.state.build_times import durations_by_arch
from farm.state.records import arch_of
from farm.state.store import OPEN_RUNS, Store, run_key, translate_redis_errors
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


@translate_redis_errors
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
    runs = cast("list[str]", store.text.zrange(OPEN_RUNS, 0, -1))
    pipeline = store.text.pipeline(transaction=False)
    for run in runs:
        pipeline.zrange(run_key(run, "in-progress"), 0, -1)
        for arch, at in first.items():
            pipeline.zcount(run_key(run, f"queued:{arch}"), "-inf", f"({at}" if run != own else "(0")
    answers = iter(pipeline.execute())
    ahead: Counter[str] = Counter()
    in_progress: Counter[str] = Counter()
    for _ in runs:
        in_progress.update(arch_of(field) for field in next(answers) if field.startswith(_JOB))
        for arch in first:
            ahead[arch] += next(answers)
    return ahead, in_progress
