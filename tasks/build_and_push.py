"""Build one architecture of one package on this worker, and push its image: NAME:HASH-ARCH."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from celery import shared_task
from celery.exceptions import Ignore

from farm.errors import FarmError
from farm.model import Job
from farm.scheduling.celery_app import BUILD
from farm.scheduling.coordinator import resend
from farm.state import leases
from tasks.build_execution import BuildExecution, HandedBackError
from tasks.worker_context import site

if TYPE_CHECKING:
    from celery import Task


@shared_task(name=BUILD, bind=True, max_retries=1, throws=(FarmError,))
def build_and_push(task: Task[..., Any], *, job: dict[str, Any]) -> dict[str, Any]:
    """Build and push, or find that it was done; returns the ArchImage as JSON.

    Raises:
        FarmError: why it failed, in one sentence; the run's state says the same.
        Ignore: another task has this image in hand, and this one is sent again when that one ends.
    """
    work = BuildExecution(site(), Job.from_json(job), str(task.request.id))
    waiting = json.dumps(task.signature_from_request())
    try:
        lease = leases.take(
            work.site.store,
            leases.job_lease(work.job),
            life=work.site.settings.lease,
            holder=f"{work.job.run} {work.site.worker}",
            waiting=waiting,
        )
    except leases.BusyError as busy:
        work.wait_behind(busy.holder)
        raise Ignore(f"{work.job.title} is under way: {busy.holder}") from busy
    try:
        with leases.held(work.site.store, lease, send=lambda message: resend(task.app, message)) as keeper:
            return work.under(keeper).to_json()
    except HandedBackError:
        resend(task.app, waiting)
        raise
