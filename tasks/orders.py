"""The order of a run as a task reads it: nothing that Redis or a message says is done without one."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple

from farm.errors import OrderError
from farm.state.runs import read_order
from farm.trust.orders import KNOWN_ORDERS, VerifiedOrder, verify_order, verify_part

if TYPE_CHECKING:
    from farm.model import Job, PackageWork
    from farm.state.run_handles import JobHandle, PackageHandle
    from tasks.worker_context import WorkerContext


class OrderedWork(NamedTuple):
    """What a verified order says of one package."""

    verified: VerifiedOrder
    work: PackageWork


class OrderedJob(NamedTuple):
    """What a verified order says of one job."""

    verified: VerifiedOrder
    work: PackageWork
    job: Job


def read_ordered_work(context: WorkerContext, package: PackageHandle) -> OrderedWork:
    """Read and verify what the order of a run says of one package.

    Raises:
        StateError: the run or the package does not exist.
        TrustDeniedError: no maintainer ordered it who may.
        NotUnderstoodError: a newer farm has written it.
    """
    run, policy = package.run, context.policy
    signed, (part,) = read_order(run, [package.name], context.orders.get(run.id))
    verified = verify_order(run.id, signed, policy, time.time())
    context.orders.pop(run.id, None)
    context.orders[run.id] = signed
    if len(context.orders) > KNOWN_ORDERS:
        context.orders.pop(next(iter(context.orders)))
    return OrderedWork(verified, verify_part(verified, package.name, part, policy))


def read_ordered_job(context: WorkerContext, handle: JobHandle) -> OrderedJob:
    """Read and verify what the order of a run says of one job; errors as `read_ordered_work`."""
    verified, work = read_ordered_work(context, handle.package)
    for job in work.jobs:
        if job.arch == handle.arch:
            return OrderedJob(verified, work, job)
    raise OrderError(f"the order of {handle.run} has no build of {handle}", hint="push again")
