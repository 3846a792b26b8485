"""Reconcile one run: dispatch again what was lost, and take the coordinator's steps that are due."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from farm.errors import FarmError
from farm.model import JobState, PackageState, RunState
from farm.model.states import JOBS_IN_PROGRESS
from farm.scheduling import coordinator, dispatch
from farm.scheduling.celery_app import PUBLISH_QUEUE, Priority, build_queue, redis_list
from farm.state import runs, transitions
from farm.state.ready import make_ready
from farm.state.records import JobPatch, PackagePatch, failure_of
from farm.state.run_handles import JobHandle
from farm.state.runs import read_jobs, read_package, read_work

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from celery import Celery

    from farm.model import Job, PackageWork
    from farm.state.overdue import LeasedRecord, OverdueRun
    from farm.state.records import JobRecord
    from farm.state.run_handles import PackageHandle

log = logging.getLogger(__name__)

MAX_LOST = 3
"""Losses of a worker that a job survives; after one more the job counts as the cause."""
MAX_RESENT = 8
"""Losses of a message that a job survives; with their growing pauses they span over a quarter of an hour."""
_TRANSIT = 3.0
"""Seconds that a message may take from its sender to its queue, or from its queue to a lease."""
_BUILDING = [PackageState.BUILDING]


@dataclass(frozen=True, slots=True)
class RunReconciler:
    """One run, in one round of the reconciler."""

    app: Celery
    overdue: OverdueRun
    now: float
    """The time by Redis' clock."""
    heads: Mapping[str, float | None]
    """List of a queue to the time since when its oldest message waits, as `queue_heads` returns it."""
    keep: float
    """Seconds for which a run that has ended is kept."""
    steady: bool
    """Whether an expired lease means that its holder is gone."""

    def reconcile(self) -> int:
        """Take every step that is overdue; returns their number."""
        run = self.overdue.handle
        if self.overdue.malformed:
            raise self.overdue.malformed
        if self.overdue.state is None:
            # It expired: a run is stored and becomes an open run in one transaction.
            runs.forget(run)
            return 0
        leased = self.overdue.in_progress if self.steady else ()
        steps = sum(self._reconcile_leased(item) for item in leased if item.abandoned)
        steps += sum(self._reconcile_queued(job, at, Priority.NEW) for job, at in self.overdue.queued)
        steps += sum(self._reconcile_queued(job, at, Priority.REQUEUED) for job, at in self.overdue.requeued)
        steps += sum(self._reconcile_due(package, since) for package, since in self.overdue.due)
        if self.overdue.state is not RunState.OPEN and not self.overdue.due:
            runs.retire(run, keep=self.keep)
        return steps

    def _reconcile_leased(self, item: LeasedRecord) -> bool:
        if isinstance(item.handle, JobHandle):
            return self._requeue_abandoned(item.handle, item.record.token)
        return self._publish_abandoned(item.handle, item)

    def _requeue_abandoned(self, handle: JobHandle, token: str) -> bool:
        """Requeue a job whose holder is gone, or, without a token, one that waits for a free lease."""
        job, record = _read(handle)
        lost = record.lost + bool(token)
        states = JOBS_IN_PROGRESS if token else [JobState.QUEUED]
        if lost > MAX_LOST:
            error = _lost_too_often(str(handle), lost, "worker", record.worker)
            return self._give_up(handle, error, states, token)
        # With the token as expected: the job may have gone on with another holder since it was read.
        queued = coordinator.queue_job(handle, expected_states=states, expected_token=token, lost=lost)
        return self._send_if_queued(job, queued, f"{job.title} was lost with {record.worker or 'its worker'}")

    def _reconcile_queued(self, handle: JobHandle, since: float, priority: Priority) -> bool:
        head = self.heads.get(redis_list(build_queue(handle.arch), priority))
        if not _message_lost(since, head, self.now):
            return False
        job, record = _read(handle)
        if not _message_lost(since, head, self.now, resent=record.resent):
            return False
        if record.resent == MAX_RESENT:
            return self._give_up(handle, _never_accepted(str(handle), "worker"), [JobState.QUEUED])
        queued = coordinator.queue_job(
            handle, expected_states=[JobState.QUEUED], lost=record.lost, resent=record.resent + 1
        )
        return self._send_if_queued(job, queued, f"the message of {job.title} was lost")

    def _send_if_queued(self, job: Job, queued: JobRecord | None, why: str) -> bool:
        if queued:
            log.warning("%s: %s; dispatched again", self.overdue.handle, why)
            dispatch.send_job(self.app, job, Priority.REQUEUED)
        return bool(queued)

    def _give_up(self, job: JobHandle, error: FarmError, states: Sequence[JobState], token: str = "") -> bool:
        """Fail a job, unless it has moved on from these states and this holder since it was read."""
        moved = transitions.move_job(
            job, JobState.FAILED, JobPatch(error=error), expected_states=states, expected_token=token
        )
        if moved:
            coordinator.settle(job.package)
        return bool(moved)

    def _reconcile_due(self, package: PackageHandle, since: float) -> bool:
        record = read_package(package)
        if record.state is PackageState.WAITING:
            return bool(coordinator.start_packages(self.app, package.run, [read_work(package)]))
        if record.state.succeeded:
            return bool(coordinator.start_dependents(self.app, package))
        if record.state.ended:
            coordinator.end_dependents(package)
            return True
        return self._reconcile_building(package, since)

    def _reconcile_building(self, package: PackageHandle, since: float) -> bool:
        """Make those jobs ready that are not; when all have ended, settle the package or publish it."""
        handled = package.store.now()
        work = read_work(package)
        records = read_jobs(package, work.arches)
        unsent = any(record.state is JobState.WAITING for record in records)
        if unsent:
            dispatch.open_chords(self.app, self.overdue.handle.id, [work])
            make_ready(package.run, {package: [job.arch for job in work.jobs]})
        if not all(record.state.ended for record in records):
            # It becomes due again when its last job ends.
            transitions.clear_due(package.run, [package], handled=handled)
            return unsent
        if failure_of(package.name, records):
            coordinator.settle(package)
            return True
        return self._publish_lost(package, work, records, since)

    def _publish_lost(
        self, package: PackageHandle, work: PackageWork, records: list[JobRecord], since: float
    ) -> bool:
        """Send the publication again if its message was lost."""
        resent = read_package(package).resent
        heads = [self.heads.get(redis_list(PUBLISH_QUEUE, priority)) for priority in Priority]
        known = [head for head in heads if head is not None]
        head = min(known) if len(known) == len(heads) else None
        if not _message_lost(since, head, self.now, resent=resent):
            return False
        if resent == MAX_RESENT:
            patch = PackagePatch(error=_never_accepted(f"{package} index", "publisher"))
            if transitions.move_package(package, PackageState.FAILED, patch, expected_states=_BUILDING):
                coordinator.end_dependents(package)
            return True
        patch = PackagePatch(resent=resent + 1)
        if not transitions.move_package(package, PackageState.BUILDING, patch, expected_states=_BUILDING):
            return False
        self._send_publication(work, records, f"the message of {package}'s index was lost")
        return True

    def _publish_abandoned(self, package: PackageHandle, item: LeasedRecord) -> bool:
        """Send the publication again whose publisher is gone, or that waits for a free lease."""
        token = item.record.token
        moved = transitions.move_package(
            package,
            PackageState.BUILDING,
            PackagePatch(token="", lost=item.record.lost + bool(token)),
            expected_states=[PackageState.PUBLISHING] if token else _BUILDING,
            expected_token=token,
        )
        if not moved:
            return False
        if moved.lost > MAX_LOST:
            coordinator.end_package(package, _lost_too_often(str(package), moved.lost, "publisher"))
            return True
        work = read_work(package)
        records = read_jobs(package, work.arches)
        self._send_publication(work, records, f"the index of {package} was lost with its publisher")
        return True

    def _send_publication(self, work: PackageWork, records: list[JobRecord], why: str) -> None:
        log.warning("%s: %s; dispatched again", self.overdue.handle, why)
        built = {job.arch for job in work.jobs}
        images = [record.image for record in records if record.image and record.arch in built]
        dispatch.send_publication(self.app, self.overdue.handle.id, work, images, Priority.REQUEUED)


def _read(handle: JobHandle) -> tuple[Job, JobRecord]:
    work = read_work(handle.package)
    job = next(job for job in work.jobs if job.arch == handle.arch)
    return job, read_jobs(handle.package, [handle.arch])[0]


def _message_lost(since: float, head: float | None, now: float, *, resent: int = 0) -> bool:
    """Whether the message of a record that waits since `since` is no longer in its queue.

    Messages of one priority are first in, first out: if the oldest, which waits since `head`, was sent after
    this one, this one is gone. Each time that it was sent again doubles the time that it may take.
    """
    return head is not None and since + _TRANSIT * 2**resent < min(head, now)


def _lost_too_often(what: str, lost: int, kind: str, last: str = "") -> FarmError:
    named = f", the last one {last}" if last else ""
    return FarmError(
        f"{what}: {lost} {kind}s were lost while they worked on it{named}",
        hint=f"that {kind}'s log says whether it died or exceeded its time limit; check its memory first",
    )


def _never_accepted(what: str, kind: str) -> FarmError:
    return FarmError(
        f"{what}: dispatched {MAX_RESENT + 1} times, no {kind} accepted it",
        hint=f"the logs of the {kind}s say why; one of an older release may have to be upgraded",
    )
