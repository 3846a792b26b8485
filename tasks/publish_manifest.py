"""The tasks that publish one package, and that settle it when a job failed."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from celery import shared_task
from celery.exceptions import Ignore

from farm.errors import FarmError, StateUnavailableError
from farm.model import ArchImage
from farm.scheduling import coordinator
from farm.scheduling.celery_app import PUBLISH, SETTLE
from farm.state import leases
from farm.state.run_handles import PackageHandle, RunHandle
from farm.state.run_reader import read_package, read_work
from tasks.lease_execution import under_lease
from tasks.publish_execution import PublishExecution
from tasks.worker_context import worker_context

if TYPE_CHECKING:
    from celery import Task

    from farm.state.records import PackageRecord

log = logging.getLogger(__name__)


@shared_task(name=PUBLISH, bind=True, max_retries=1, throws=(FarmError,))
def publish_manifest(
    task: Task[..., Any], images: list[dict[str, Any]], *, run: str, package: str
) -> dict[str, Any]:
    """Publish a package whose jobs have all succeeded; returns the index's descriptor as JSON.

    If no index is asked for, it only records that the images are pushed, and returns an empty object.

    Raises:
        FarmError: why it failed, as the package's record says.
        Ignore: another task publishes to this repository; this one is sent again when that one ends.
    """
    context = worker_context()
    handle = RunHandle(context.store, run).package(package)
    record = read_package(handle)
    if record.state.ended:
        return _ended_before(task, handle, record)
    work = read_work(handle)
    execution = PublishExecution(context, handle, work, tuple(ArchImage.from_json(image) for image in images))
    name = leases.index_lease(work.reference)
    with under_lease(task, context, name, run=run, wait=execution.wait_for) as held:
        descriptor = execution.run(held)
    try:
        coordinator.start_dependents(task.app, handle)
    except StateUnavailableError as error:
        # The package stays due, so the reconciler starts them.
        log.warning("the dependents of %s are not started yet: %s", package, error)
    return descriptor.to_json() if descriptor else {}


def _ended_before(task: Task[..., Any], handle: PackageHandle, record: PackageRecord) -> dict[str, Any]:
    """Return what the task returned before, and start the dependents if that was not done."""
    if not record.state.succeeded:
        raise Ignore(f"{handle} has ended: {record.state}")
    coordinator.start_dependents(task.app, handle)
    return record.index.to_json() if record.index else {}


@shared_task(name=SETTLE)
def settle_package(*, run: str, package: str) -> None:
    """Settle a package whose chord failed, unless one of its jobs was only lost, and has not ended."""
    coordinator.settle(RunHandle(worker_context().store, run).package(package))
