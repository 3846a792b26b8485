"""What a death left undone is taken up again: by the state alone, whatever Celery remembers.

A chord's message can be lost with the worker that had taken it, a callback with the worker that was to send
it, a start with its coordinator. Each leaves a record of its run that stands where nobody will come for it.
To send a task twice is harmless, since every task first asks the record whether there is anything to do.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from farm import coordinator
from farm.errors import FarmError, StateUnavailableError
from farm.model import JobState, PackageState, RunState
from farm.queue import PUBLISH_QUEUE, build_queue
from farm.state import leases, moves, runs
from farm.state.moves import IN_HAND
from farm.state.overdue import queue_heads, read_overdue
from farm.state.records import failure_of

if TYPE_CHECKING:
    import threading
    from collections.abc import Mapping

    from celery import Celery

    from farm.model import Job, PackageWork
    from farm.state.overdue import InHand, Overdue
    from farm.state.records import JobRecord
    from farm.state.store import Store

log = logging.getLogger(__name__)

GRACE = 2.0
"""Seconds that a record may stand before anybody looks at it."""
_ON_THE_WAY = 3.0
"""Seconds that a message may take from its sender to its queue, or from its queue to a lease."""
MOST_LOST = 3
"""Deaths of a worker that a job survives; one more, and the job is taken for the cause."""
EVERY = 1.0
"""Seconds between two looks."""
_TURN = 3.0
"""Seconds for which one who looks, or died at it, keeps others from it; two who look at once do no harm."""
_STEADY = 12.0
"""Seconds for which Redis must have answered before a lease that ran out tells of a death: when it was away,
every lease has run out, and the living, who may wait for an answer for 10 s, renew theirs first."""
_FORGOTTEN = 60.0
"""Seconds after which a run that was named and never stored is forgotten."""


def reconcile(app: Celery, store: Store, *, keep: float, steady: bool = True) -> int:
    """Look once at every open run and take the steps that nobody else will; returns how many.

    Args:
        app: what tasks are sent with.
        store: the state.
        keep: seconds for which an ended run is kept.
        steady: whether Redis has answered for long enough that a lease that ran out tells of a death.
    """
    now, open_runs = read_overdue(store, grace=GRACE)
    waiting = {arch for run in open_runs for _, arch, _ in run.queued}
    queues = {build_queue(arch): f"queued:{arch}" for arch in sorted(waiting)}
    if any(run.due for run in open_runs):
        queues[PUBLISH_QUEUE] = "due"
    heads = queue_heads(store, queues) if queues else {}
    return sum(Care(app, store, overdue, now, heads, keep, steady).take() for overdue in open_runs)


def passed_over(since: float, head: float | None, now: float) -> bool:
    """Whether something that waits in a queue `since` then is no longer in it.

    Args:
        since: when its message was about to be sent, Unix time in seconds.
        head: since when the queue's oldest message waits; `inf` when it is empty, None when that is unknown.
        now: the time by the same clock.
    """
    return head is not None and since + _ON_THE_WAY < min(head, now)


@dataclass(frozen=True, slots=True)
class Care:
    """One run, looked at once."""

    app: Celery
    store: Store
    overdue: Overdue
    now: float
    heads: Mapping[str, float | None]
    keep: float
    steady: bool

    def take(self) -> int:
        """Take every step that is overdue; returns how many."""
        if self.overdue.state is None:
            if self.overdue.named + _FORGOTTEN < self.now:
                runs.forget(self.store, self.overdue.run)
            return 0
        hand = self.overdue.hand if self.steady else ()
        steps = sum(self._abandoned(item) for item in hand if item.abandoned)
        steps += sum(self._queued(*item) for item in self.overdue.queued)
        steps += sum(self._due(*item) for item in self.overdue.due)
        if self.overdue.state is not RunState.OPEN and not self.overdue.due:
            runs.retire(self.store, self.overdue.run, keep=self.keep)
        return steps

    def _say(self, what: str) -> None:
        log.warning("%s: %s", self.overdue.run, what)

    def _abandoned(self, item: InHand) -> bool:
        work = runs.read_work(self.store, self.overdue.run, item.package)
        if not item.arch:
            return self._publish_again(work, item)
        job = next(job for job in work.jobs if job.arch == item.arch)
        record: JobRecord = runs.read_jobs(self.store, job.run, job.package, [job.arch])[0]
        lost = record.lost + bool(item.record.token)
        if lost > MOST_LOST:
            return self._give_up(job, record)
        states = IN_HAND if item.record.token else [JobState.QUEUED]
        if not coordinator.queue_job(self.store, job, come_from=states, holding=item.record.token, lost=lost):
            return False
        self._say(f"{job.title} was lost with {record.worker or 'its worker'}; it is sent again")
        coordinator.send_job(self.app, job)
        return True

    def _give_up(self, job: Job, record: JobRecord) -> bool:
        error = FarmError(
            f"{job.package} {job.arch}: {record.lost + 1} workers died with it, at last {record.worker}",
            hint="see that worker's own log; memory is the first suspect",
        )
        moves.move_job(
            self.store, job.run, job.package, job.arch, JobState.FAILED, holding=record.token, error=error
        )
        coordinator.settle(self.store, job.run, job.package)
        return True

    def _queued(self, package: str, arch: str, since: float) -> bool:
        if not passed_over(since, self.heads.get(build_queue(arch)), self.now):
            return False
        work = runs.read_work(self.store, self.overdue.run, package)
        job = next(job for job in work.jobs if job.arch == arch)
        record = runs.read_jobs(self.store, job.run, package, [arch])[0]
        if not coordinator.queue_job(self.store, job, come_from=[JobState.QUEUED], lost=record.lost):
            return False
        self._say(f"{job.title} was lost on its way; it is sent again")
        coordinator.send_job(self.app, job)
        return True

    def _due(self, package: str, since: float) -> bool:
        run = self.overdue.run
        record = runs.read_package_record(self.store, run, package)
        work = runs.read_work(self.store, run, package)
        if record.state is PackageState.WAITING:
            return coordinator.start(self.app, self.store, run, work)
        if record.state.stands:
            return bool(coordinator.landed(self.app, self.store, run, package))
        if record.state.ended:
            coordinator.end_dependents(self.store, run, package)
            return True
        return self._building(work, since)

    def _building(self, work: PackageWork, since: float) -> bool:
        run = self.overdue.run
        seen = self.store.now()
        records = runs.read_jobs(self.store, run, work.package, work.arches)
        unsent = {record.arch for record in records if record.state is JobState.WAITING}
        for job in work.jobs:
            if job.arch in unsent and coordinator.queue_job(self.store, job, come_from=[JobState.WAITING]):
                coordinator.send_job(self.app, job)
        if not all(record.state.ended for record in records):
            moves.told(self.store, run, work.package, seen=seen)
            return bool(unsent)
        if failure_of(work.package, records):
            coordinator.settle(self.store, run, work.package)
            return True
        if not passed_over(since, self.heads.get(PUBLISH_QUEUE), self.now):
            return False
        if not moves.move_package(
            self.store, run, work.package, PackageState.BUILDING, come_from=[PackageState.BUILDING]
        ):
            return False
        self._say(f"the index of {work.package} was lost on its way; it is sent again")
        self._send_index(work, records)
        return True

    def _publish_again(self, work: PackageWork, item: InHand) -> bool:
        run = self.overdue.run
        held = bool(item.record.token)
        moved = moves.move_package(
            self.store,
            run,
            work.package,
            PackageState.BUILDING,
            come_from=[PackageState.PUBLISHING] if held else [PackageState.BUILDING],
            holding=item.record.token,
            token="",
            lost=item.record.lost + held,
        )
        if not moved:
            return False
        if moved.lost > MOST_LOST:
            error = FarmError(
                f"{work.package}: {moved.lost} publishers died with it", hint="see the publisher's own log"
            )
            coordinator.end(self.store, run, work.package, error)
            return True
        self._say(f"the index of {work.package} was lost with its publisher; it is sent again")
        self._send_index(work, runs.read_jobs(self.store, run, work.package, work.arches))
        return True

    def _send_index(self, work: PackageWork, records: list[JobRecord]) -> None:
        built = {job.arch for job in work.jobs}
        images = [record.image for record in records if record.image and record.arch in built]
        coordinator.send_index(self.app, self.overdue.run, work, images)


def keep_reconciling(app: Celery, store: Store, *, name: str, keep: float, until: threading.Event) -> None:
    """Look again and again until told to stop; of all who do so, one at a time really looks.

    Args:
        app: what tasks are sent with.
        store: the state.
        name: who looks, for people.
        keep: seconds for which an ended run is kept.
        until: set to end it.
    """
    answering_since = time.monotonic()
    while not until.wait(EVERY):
        steady = time.monotonic() - answering_since > _STEADY
        try:
            lease = leases.take(store, "reconciler", life=_TURN, holder=name)
            try:
                reconcile(app, store, keep=keep, steady=steady)
            finally:
                leases.free(store, lease)
        except leases.BusyError:
            continue
        except StateUnavailableError as error:
            log.warning("what is overdue was not seen to: %s", error)
            answering_since = time.monotonic()
        except FarmError as error:
            log.warning("what is overdue was not seen to: %s", error)
