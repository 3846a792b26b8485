"""The task that builds one architecture of one package and pushes its image: NAME:HASH-ARCH."""

from __future__ import annotations

import logging
import time
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from celery import shared_task
from celery.exceptions import Ignore

from farm.errors import (
    CancelledError,
    FarmError,
    LeaseLostError,
    LeftToAnotherError,
    NotUnderstoodError,
    TrustDeniedError,
)
from farm.model import ArchImage, JobState
from farm.model.states import JOBS_IN_PROGRESS
from farm.scheduling.celery_app import BUILD
from farm.scheduling.coordinator import queue_job, settle
from farm.scheduling.dispatch import send_again
from farm.scheduling.send_ready import refill
from farm.state import leases, transitions
from farm.state.logs import LogWriter
from farm.state.records import JobPatch
from farm.state.run_handles import JobHandle, RunHandle
from farm.state.runs import read_job
from tasks.build_attempt import ImageBuild
from tasks.lease_execution import message_of, record_step, run_recorded, still_owned, under_lease
from tasks.orders import read_ordered_job
from tasks.reject import refuse_unknown, reject
from tasks.retries import retry_temporary, wait_for_redis
from tasks.worker_context import worker_context

if TYPE_CHECKING:
    from celery import Task

    from farm.model import Job
    from farm.state.leases import HeldLease
    from farm.state.records import JobRecord
    from tasks.orders import OrderedJob
    from tasks.worker_context import WorkerContext


log = logging.getLogger(__name__)

_PASS_ON = 1.0
"""Seconds for which a worker keeps a job that is not for it, so that no message circles without a pause."""


class HandedBackError(Ignore):
    """This worker stops, and its job was put back into the queue."""


@dataclass(frozen=True, slots=True)
class BuildExecution:
    """One job on one worker."""

    context: WorkerContext
    ordered: OrderedJob
    task: str
    """The id of the Celery task."""

    @property
    def job(self) -> Job:
        """What the order says."""
        return self.ordered.job

    @property
    def handle(self) -> JobHandle:
        """The job's record."""
        return JobHandle.of(self.context.store, self.job)

    def wait_for(self, holder: str) -> None:
        """Record that the job waits for another task that builds the same image."""
        patch = JobPatch(waiting_for=holder, lease=leases.job_lease(self.job))
        transitions.move_job(self.handle, JobState.QUEUED, patch, expected_states=[JobState.QUEUED])

    def run(self, held: HeldLease) -> ArchImage:
        """Do the job under a lease, and record how it ended; Ignore if it was taken over or handed back."""
        try:
            return wait_for_redis(lambda: self._accept(held), stop=held.stopped) or run_recorded(
                lambda: self._attempt(held),
                lambda error: self._fail(error, held),
                stopped=held.stopped,
                title=self.job.title,
                hint="its traceback is in the worker's log",
            )
        except LeaseLostError as error:
            if self._cancelled():
                raise CancelledError(f"{self.handle}: cancelled") from error
            if self._hand_back(held, leave=isinstance(error, LeftToAnotherError)):
                raise HandedBackError(f"{self.job.title} went back to its queue") from error
            raise Ignore(str(error)) from error

    def _accept(self, held: HeldLease) -> ArchImage | None:
        """Accept the job; returns its image if an earlier execution of this task recorded one."""
        job, token = self.job, held.lease.token
        patch = JobPatch(
            worker=self.context.worker,
            task=self.task,
            started=time.time(),
            token=token,
            lease=held.lease.name,
        )
        if transitions.move_job(self.handle, JobState.LEASED, patch):
            held.renew_while(
                lambda: not self.context.flags.leaving.is_set and still_owned(read_job(self.handle), token)
            )
            return None
        record = read_job(self.handle)
        if record is None:
            raise LeaseLostError(f"{job.title}: run {job.run} is unknown")
        if record.image and record.state.succeeded:
            return record.image
        raise record.error or CancelledError(f"{self.handle}: cancelled")

    def _attempt(self, held: HeldLease) -> ArchImage:
        """Build until it succeeds or fails for good; an attempt continues where the last one failed."""
        writer = LogWriter(self.handle, token=held.lease.token, keep=self.context.settings.keep)
        # Closed before a failure is recorded, so that whoever reads of it finds all lines.
        with closing(writer) as log:
            build = ImageBuild(
                self.context, self.ordered, held, log, lambda to, patch: self._move(to, patch, held)
            )
            return retry_temporary(
                lambda: wait_for_redis(build.attempt, stop=held.stopped), stop=held.stopped, report=log.write
            )

    def _move(self, to: JobState, patch: JobPatch, held: HeldLease) -> None:
        def move() -> JobRecord | None:
            moved = transitions.move_job(self.handle, to, patch, expected_token=held.lease.token)
            return moved or read_job(self.handle)

        record_step(move, to, held, title=self.job.title)

    def _fail(self, error: FarmError, held: HeldLease) -> FarmError:
        if held.stopped.is_set() and self._cancelled():
            return CancelledError(f"{self.handle}: cancelled")
        recorded = type(error)(f"{self.handle}: {error}", hint=f"farm logs {self.job.run} {self.handle}")
        self._move(JobState.FAILED, JobPatch(error=recorded), held)
        wait_for_redis(lambda: settle(self.handle.package), stop=held.stopped)
        return recorded

    def _cancelled(self) -> bool:
        record = read_job(self.handle)
        return record is not None and record.state is JobState.CANCELLED

    def _hand_back(self, held: HeldLease, *, leave: bool) -> bool:
        """Put the job back if this worker stops or leaves it; False if not, or another holder has the job."""
        record = read_job(self.handle) if leave or self.context.flags.leaving.is_set else None
        return record is not None and bool(
            queue_job(
                self.handle,
                expected_states=JOBS_IN_PROGRESS,
                expected_token=held.lease.token,
                lost=record.lost,
            )
        )


def _refuse(handle: JobHandle, error: TrustDeniedError) -> FarmError:
    """Record that a queued job has no valid order; returns the error as it was recorded."""
    log.warning("%s of %s is not built: %s", handle, handle.run, error)
    recorded = type(error)(f"{handle}: {error.message}", hint=error.hint)
    patch = JobPatch(error=recorded)
    if transitions.move_job(handle, JobState.FAILED, patch, expected_states=[JobState.QUEUED]):
        settle(handle.package)
    return recorded


def _leave(task: Task[..., Any], handle: JobHandle) -> None:
    """Leave a queued job to another worker, which waits for messages for longer than this one then does."""
    record = read_job(handle)
    if record is not None and record.state is JobState.QUEUED:
        time.sleep(_PASS_ON)
        # Otherwise the reconciler would take the message for lost.
        queue_job(handle, expected_states=[JobState.QUEUED], lost=record.lost, resent=record.resent)
        send_again(task.app, message_of(task))
        raise Ignore(f"{handle} is for another worker")


@shared_task(name=BUILD, bind=True, max_retries=1, throws=(FarmError,))
def build_and_push(
    task: Task[..., Any], *, run: str, package: str, arch: str, **unknown: object
) -> dict[str, Any]:
    """Build and push what the order says, unless that was done before; returns the ArchImage as JSON."""
    context = worker_context()
    refill(task.app, context.store, arch)
    handle = RunHandle(context.store, run).package(package).job(arch)
    try:
        refuse_unknown(unknown)
        execution = BuildExecution(context, read_ordered_job(context, handle), str(task.request.id))
    except NotUnderstoodError as error:
        reject("a job", error)
    except TrustDeniedError as error:
        raise _refuse(handle, error) from error
    if context.worker_key.fingerprint in execution.job.other_than:
        _leave(task, handle)
    name = leases.job_lease(execution.job)
    try:
        with under_lease(
            task, execution.context, name, run=execution.job.run, wait=execution.wait_for
        ) as held:
            return execution.run(held).to_json()
    except HandedBackError as error:
        if isinstance(error.__cause__, LeftToAnotherError):
            time.sleep(_PASS_ON)
        # After the lease was released: otherwise the task could find it taken, and wait for itself.
        send_again(task.app, message_of(task))
        raise
