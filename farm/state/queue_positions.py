"""What is ahead of a run's waiting jobs, read in a few round trips however many jobs there are."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from farm.model import JobState
from farm.state.earlier_builds import durations_by_arch
from farm.state.records import arch_of, package_of
from farm.state.store import OPEN_RUNS, Store, run_key
from farm.state.workers import workers

if TYPE_CHECKING:
    from collections.abc import Sequence

    from farm.state.records import RunRecord

_JOB = "J "


@dataclass(frozen=True, slots=True)
class QueuePosition:
    """The queue of one architecture from a run's point of view."""

    slots: int = 0
    """Builds that the architecture's workers can run at once; 0 if no worker is up."""
    ahead: int = 0
    """Jobs of other runs that were queued before this run's first, or requeued: those come first."""
    requeued: tuple[str, ...] = ()
    """Packages of this run whose jobs were requeued, the oldest first."""
    ahead_of_requeued: int = 0
    """Jobs of other runs that were requeued before this run's first."""
    in_progress: int = 0
    """Jobs in progress."""
    durations: tuple[float, ...] = ()
    """Seconds that the last builds of the architecture took."""


def read_queue_positions(store: Store, record: RunRecord) -> dict[str, QueuePosition]:
    """The queue of each architecture for which a run has jobs waiting."""
    queued = [
        (name, job)
        for name, package in record.packages.items()
        for job in package.jobs.values()
        if job.state is JobState.QUEUED and not job.waiting_for
    ]
    if not queued:
        return {}
    (names,) = store.ask([("zrange", OPEN_RUNS, 0, -1)])
    queues = _Queues.read(store, record.id, [name for name in names if name != record.id])
    arches = tuple(dict.fromkeys(job.arch for _, job in queued))
    first = {arch: min(job.at for _, job in queued if job.arch == arch) for arch in arches}
    earlier = queues.count_earlier(store, first)
    durations = durations_by_arch(store, arches)
    slots: Counter[str] = Counter()
    for worker in workers(store):
        if worker.serving:
            slots.update(dict.fromkeys(worker.arches, worker.slots))
    return {
        arch: QueuePosition(
            slots=slots[arch],
            ahead=earlier[arch] + len(queues.others(arch)),
            requeued=tuple(package_of(field) for field, _ in queues.own(arch)),
            ahead_of_requeued=queues.ahead_of_requeued(arch),
            in_progress=queues.in_progress[arch],
            durations=tuple(durations[arch]),
        )
        for arch in arches
    }


@dataclass(frozen=True, slots=True)
class _Queues:
    """What the open runs have in progress, and what was requeued: read whole, because it is never much."""

    run: str
    open_others: Sequence[str]
    in_progress: Counter[str]
    """Architecture to jobs in progress."""
    requeued: dict[str, list[tuple[str, float]]]
    """Run to the fields of its requeued jobs, each with the time since when."""

    @staticmethod
    def read(store: Store, run: str, others: Sequence[str]) -> _Queues:
        runs = (run, *others)
        leased = store.ask(("zrange", run_key(name, "in-progress"), 0, -1) for name in runs)
        again = store.ask(("zrange", run_key(name, "requeued"), 0, -1, False, True) for name in runs)
        jobs = (field for fields in leased for field in fields if field.startswith(_JOB))
        return _Queues(run, others, Counter(map(arch_of, jobs)), dict(zip(runs, again, strict=True)))

    def own(self, arch: str) -> list[tuple[str, float]]:
        return [(field, at) for field, at in self.requeued[self.run] if arch_of(field) == arch]

    def others(self, arch: str) -> list[float]:
        fields = (entry for run in self.open_others for entry in self.requeued[run])
        return [at for field, at in fields if arch_of(field) == arch]

    def ahead_of_requeued(self, arch: str) -> int:
        first = min((at for _, at in self.own(arch)), default=0.0)
        return sum(at < first for at in self.others(arch))

    def count_earlier(self, store: Store, first: dict[str, float]) -> Counter[str]:
        """The jobs of other runs that were sent for the first time before `first`, by architecture."""
        queues = [(arch, run) for arch in first for run in self.open_others]
        counts = store.ask(
            ("zcount", run_key(run, f"queued:{arch}"), "-inf", f"({first[arch]}") for arch, run in queues
        )
        earlier: Counter[str] = Counter()
        for (arch, _), count in zip(queues, counts, strict=True):
            earlier[arch] += count
        return earlier
