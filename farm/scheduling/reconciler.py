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

from farm.errors import FarmError, StateUnavailableError
from farm.model import JobState, PackageState, RunState
from farm.scheduling import coordinator
from farm.scheduling.celery_app import PUBLISH_QUEUE, build_queue
from farm.scheduling.outage import LEAP, OutageDetector
from farm.state import leases, runs, transitions
from farm.state.overdue import queue_heads, read_overdue
from farm.state.records import failure_of
from farm.state.transitions import IN_PROGRESS

if TYPE_CHECKING:
    import threading
    from collections.abc import Mapping, Sequence

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
"""Losses of a worker that a job survives; one more, and the job is taken for the cause."""
EVERY = 1.0
"""Seconds between two looks."""
_TURN = 3.0
"""Seconds for which one who looks, or died at it, keeps others from it; two who look at once do no harm."""
MOST_RESENT = 8
"""How often a message may be lost on its way: with growing pauses, that is a quarter of an hour and more."""


def reconcile(
    app: Celery, store: Store, *, keep: float, steady: bool = True, told: set[str] | None = None
) -> int:
    """Look once at every open run and take the steps that nobody else will; returns how many.

    Args:
        app: what tasks are sent with.
        store: the state.
        keep: seconds for which an ended run is kept.
        steady: whether Redis has answered for long enough that a lease that ran out tells of a death.
        told: what was said of runs that cannot be seen to; it is said once.
    """
    told = set() if told is None else told
    begun = time.time()
    now, open_runs = read_overdue(store, grace=GRACE)
    steady = steady and time.time() - begun < LEAP
    waiting = {arch for run in open_runs for _, arch, _ in run.queued}
    queues = {build_queue(arch): f"queued:{arch}" for arch in sorted(waiting)}
    if any(run.due for run in open_runs):
        queues[PUBLISH_QUEUE] = "due"
    heads = queue_heads(store, queues) if queues else {}
    return sum(
        _see_to(RunReconciler(app, store, overdue, now, heads, keep, steady), told) for overdue in open_runs
    )


def _see_to(care: RunReconciler, told: set[str]) -> int:
    """Take a run's overdue steps; one whose records cannot be read does not keep others from theirs."""
    try:
        return care.take()
    except StateUnavailableError:
        raise
    except Exception as error:
        # One odd record, perhaps of a farm to come, must not end the one who looks.
        what = f"{care.overdue.run} was not seen to: {type(error).__name__}: {error}"
        if what not in told:
            told.add(what)
            log.warning(what, exc_info=not isinstance(error, FarmError))
    return 0


def passed_over(since: float, head: float | None, now: float, *, resent: int = 0) -> bool:
    """Whether something that waits in a queue `since` then is no longer in it.

    Args:
        since: when its message was about to be sent, Unix time in seconds.
        head: since when the queue's oldest message waits; `inf` when it is empty, None when that is unknown.
        now: the time by the same clock.
        resent: how often it was sent again; each time it is given twice as long.
    """
    return head is not None and since + _ON_THE_WAY * 2**resent < min(head, now)


def fatal(what: str, lost: int, kind: str, last: str = "") -> FarmError:
    """Why something is not tried again with which one worker after another was lost."""
    at_last = f", at last {last}" if last else ""
    return FarmError(
        f"{what}: {lost} {kind}s were lost with it{at_last}",
        hint=f"that {kind}'s own log says whether it died or ran out of time; memory is the first suspect",
    )


def unheard(what: str, kind: str) -> FarmError:
    """Why something is not sent again that nobody takes up."""
    return FarmError(
        f"{what}: was sent {MOST_RESENT + 1} times, and no {kind} took it up",
        hint=f"the {kind}s' own logs say why; is one of an older farm?",
    )


@dataclass(frozen=True, slots=True)
class RunReconciler:
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
        if self.overdue.odd:
            raise self.overdue.odd
        if self.overdue.state is None:
            # It expired, and whoever was to forget it died first: a run is named and stored in one step.
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
        states = IN_PROGRESS if item.record.token else [JobState.QUEUED]
        if lost > MOST_LOST:
            error = fatal(f"{job.package} {job.arch}", lost, "worker", record.worker)
            return self._give_up(job, states, item.record.token, error)
        if not coordinator.queue_job(self.store, job, come_from=states, holding=item.record.token, lost=lost):
            return False
        self._say(f"{job.title} was lost with {record.worker or 'its worker'}; it is sent again")
        coordinator.send_job(self.app, job)
        return True

    def _give_up(self, job: Job, states: Sequence[JobState], token: str, error: FarmError) -> bool:
        """Fail a job, unless it has moved on from these states and this holder since it was read."""
        moved = transitions.move_job(
            self.store,
            job.run,
            job.package,
            job.arch,
            JobState.FAILED,
            come_from=states,
            holding=token,
            error=error,
        )
        if moved:
            coordinator.settle(self.store, job.run, job.package)
        return bool(moved)

    def _queued(self, package: str, arch: str, since: float) -> bool:
        head = self.heads.get(build_queue(arch))
        if not passed_over(since, head, self.now):
            return False
        work = runs.read_work(self.store, self.overdue.run, package)
        job = next(job for job in work.jobs if job.arch == arch)
        record = runs.read_jobs(self.store, job.run, package, [arch])[0]
        if not passed_over(since, head, self.now, resent=record.resent):
            return False
        if record.resent == MOST_RESENT:
            return self._give_up(job, [JobState.QUEUED], "", unheard(f"{package} {arch}", "worker"))
        lost, resent = record.lost, record.resent + 1
        if not coordinator.queue_job(self.store, job, come_from=[JobState.QUEUED], lost=lost, resent=resent):
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
            transitions.clear_due(self.store, run, work.package, seen=seen)
            return bool(unsent)
        if failure_of(work.package, records):
            coordinator.settle(self.store, run, work.package)
            return True
        resent = runs.read_package_record(self.store, run, work.package).resent
        if not passed_over(since, self.heads.get(PUBLISH_QUEUE), self.now, resent=resent):
            return False
        building = PackageState.BUILDING
        if resent == MOST_RESENT:
            error = unheard(f"{work.package} index", "publisher")
            failed = PackageState.FAILED
            if transitions.move_package(
                self.store, run, work.package, failed, come_from=[building], error=error
            ):
                coordinator.end_dependents(self.store, run, work.package)
            return True
        if not transitions.move_package(
            self.store, run, work.package, building, come_from=[building], resent=resent + 1
        ):
            return False
        self._say(f"the index of {work.package} was lost on its way; it is sent again")
        self._send_index(work, records)
        return True

    def _publish_again(self, work: PackageWork, item: InHand) -> bool:
        run = self.overdue.run
        held = bool(item.record.token)
        moved = transitions.move_package(
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
            coordinator.end(self.store, run, work.package, fatal(f"{work.package}", moved.lost, "publisher"))
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
    pulse, told = OutageDetector(time.monotonic()), set[str]()
    while not until.wait(EVERY):
        begun = time.monotonic()
        try:
            lease = leases.take(store, "reconciler", life=_TURN, holder=name)
            try:
                theirs, now = store.now(), time.monotonic()
                steady = pulse.steady(now, waited=now - begun, ours=time.time(), theirs=theirs)
                reconcile(app, store, keep=keep, steady=steady, told=told)
            finally:
                leases.free(store, lease)
        except leases.BusyError:
            continue
        except FarmError as error:
            log.warning("what is overdue was not seen to: %s", error)
            pulse.lost(time.monotonic())
        except Exception:
            # Who looks must not end: a publisher without it works on, and nobody would notice.
            log.exception("what is overdue was not seen to")
