"""What is ahead of a run's waiting jobs, read in a few round trips however many jobs there are."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from farm.model import JobState
from farm.state.earlier_builds import durations_by_arch
from farm.state.ready import next_ready, read_open_runs
from farm.state.records import arch_of, package_of
from farm.state.run_handles import RunHandle
from farm.state.store import Store, run_key
from farm.state.workers import slots_of, why_unserved, workers

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
    unserved: str = ""
    """Why no worker accepts jobs, in a few words; "" if one does."""
    sent: int = 0
    """Jobs of all runs whose messages were sent, and which no worker has accepted."""
    ready: tuple[str, ...] = ()
    """Packages of this run whose jobs may be sent, the most urgent first."""
    submitters: int = 1
    """Those who have jobs sent or ready, with that of this run: they share the slots."""


def read_queue_positions(store: Store, record: RunRecord) -> dict[str, QueuePosition]:
    """The queue of each architecture for which a run has jobs waiting."""
    waiting = [
        job
        for package in record.packages.values()
        for job in package.jobs.values()
        if not job.state.ended and not job.state.in_progress and not job.waiting_for
    ]
    if not waiting:
        return {}
    runs = read_open_runs(store)
    queues = _Queues.read(store, record.id, [one.run for one in runs if one.run != record.id])
    arches = tuple(dict.fromkeys(job.arch for job in waiting))
    queued = [job for job in waiting if job.state is JobState.QUEUED]
    first = {job.arch: min(one.at for one in queued if one.arch == job.arch) for job in queued}
    earlier = queues.count_earlier(store, first)
    durations = durations_by_arch(store, arches)
    handle, known = RunHandle(store, record.id), workers(store)
    return {
        arch: QueuePosition(
            slots=slots_of(known)[arch],
            ahead=earlier[arch] + len(queues.others(arch)),
            requeued=tuple(package_of(field) for field, _ in queues.own(arch)),
            ahead_of_requeued=queues.ahead_of_requeued(arch),
            in_progress=queues.in_progress[arch],
            durations=tuple(durations[arch]),
            unserved=why_unserved(known, arch),
            sent=sum(one.in_progress.get(arch, 0) for one in runs) - queues.in_progress[arch],
            ready=tuple(job.package.name for job in next_ready(handle, arch, 0)),
            submitters=len(
                {one.submitter for one in runs if one.in_progress.get(arch) or one.ready.get(arch)}
            ),
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
