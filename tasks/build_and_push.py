"""The task that builds one architecture of one package and pushes its image: NAME:HASH-ARCH."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from celery import shared_task

from farm.errors import FarmError
from farm.model import Job
from farm.scheduling.celery_app import BUILD
from farm.scheduling.dispatch import send_again
from farm.state import leases
from tasks.build_execution import BuildExecution, HandedBackError
from tasks.lease_execution import message_of, under_lease
from tasks.worker_context import worker_context

if TYPE_CHECKING:
    from celery import Task


@shared_task(name=BUILD, bind=True, max_retries=1, throws=(FarmError,))
def build_and_push(task: Task[..., Any], *, job: dict[str, Any]) -> dict[str, Any]:
    """Build and push, unless that was done before; returns the ArchImage as JSON.

    Raises:
        FarmError: why it failed, as the job's record says.
        Ignore: another task builds this image; this one is sent again when that one ends.
    """
    execution = BuildExecution(worker_context(), Job.from_json(job), str(task.request.id))
    name = leases.job_lease(execution.job)
    try:
        with under_lease(
            task, execution.context, name, run=execution.job.run, wait=execution.wait_for
        ) as held:
            return execution.run(held).to_json()
    except HandedBackError:
        # After the lease was released: otherwise the task could find it taken, and wait for itself.
        send_again(task.app, message_of(task))
        raise
