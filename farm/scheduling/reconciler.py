"""The reconciler: a loop in each publisher that finds lost work by the state alone, and dispatches it again.

A worker can die with a message of a chord, a callback's sender before it sends it, a coordinator before it
starts a package. Each leaves a record that waits for something that will not happen. A task that is sent
twice does no harm: it first asks its record whether there is anything to do.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from farm.errors import FarmError, StateUnavailableError
from farm.scheduling.celery_app import PUBLISH_QUEUE, Priority, build_queue, redis_list
from farm.scheduling.outage import MAX_CLOCK_JUMP, OutageDetector
from farm.scheduling.requeue import RunReconciler
from farm.scheduling.send_ready import send_ready
from farm.state import leases
from farm.state.overdue import pull_back, queue_heads, read_overdue

if TYPE_CHECKING:
    import threading
    from collections.abc import Sequence

    from celery import Celery

    from farm.state.overdue import OverdueRun
    from farm.state.store import Store

log = logging.getLogger(__name__)

GRACE = 2.0
"""Seconds that a record may wait before it is looked at: the process that changed it may still be at work."""
INTERVAL = 1.0
"""Seconds between two rounds."""
_ROUND = 3.0
"""Seconds for which a publisher keeps the others from a round; two rounds at once do no harm."""


def reconcile(
    app: Celery, store: Store, *, keep: float, steady: bool = True, reported: set[str] | None = None
) -> int:
    """Reconcile every open run once; returns the number of steps that were taken.

    A run that has ended is kept for `keep` seconds. `steady` says whether an expired lease means that its
    holder is gone. Failures that are in `reported` are not reported again.
    """
    reported = set() if reported is None else reported
    begun = time.time()
    now, overdue = read_overdue(store, grace=GRACE)
    # Leases and records are read one after the other: in between this machine may have been suspended.
    steady = steady and time.time() - begun < MAX_CLOCK_JUMP
    heads = _queue_heads(store, overdue)
    steps = sum(
        _reconcile_run(RunReconciler(app, run, now, heads, keep, steady), reported) for run in overdue
    )
    # A newer run is being sent by its submitter: of two senders at once, one may overtake the other.
    send_ready(app, store, until=now - GRACE)
    return steps


def _queue_heads(store: Store, overdue: Sequence[OverdueRun]) -> dict[str, float | None]:
    new = {job.arch for run in overdue for job, _ in run.queued}
    again = {job.arch for run in overdue for job, _ in run.requeued}
    lists = {redis_list(build_queue(arch), Priority.NEW): f"queued:{arch}" for arch in sorted(new)}
    lists |= {redis_list(build_queue(arch), Priority.REQUEUED): "requeued" for arch in sorted(again)}
    if any(run.due for run in overdue):
        lists |= {redis_list(PUBLISH_QUEUE, priority): "due" for priority in Priority}
    return queue_heads(store, lists) if lists else {}


def _reconcile_run(reconciler: RunReconciler, reported: set[str]) -> int:
    try:
        return reconciler.reconcile()
    except StateUnavailableError:
        raise
    except Exception as error:
        # A malformed record, perhaps of a later version, must not keep the other runs from being reconciled.
        what = f"{reconciler.overdue.handle} was not reconciled: {type(error).__name__}: {error}"
        if what not in reported:
            reported.add(what)
            log.warning(what, exc_info=not isinstance(error, FarmError))
    return 0


def keep_reconciling(app: Celery, store: Store, *, name: str, keep: float, stop: threading.Event) -> None:
    """Reconcile once a second until `stop` is set; of all publishers that do so, one does each round."""
    outage, reported, last = OutageDetector(time.monotonic()), set[str](), ""
    while not stop.wait(INTERVAL):
        try:
            _reconcile_under_lease(app, store, outage, reported, name=name, keep=keep)
            last = ""
        except leases.LeaseBusyError:
            continue
        except FarmError as error:
            if (what := f"reconciliation failed: {error}") != last:
                log.warning(what)
            last = what
            outage.restart(time.monotonic())
        except Exception:
            # A thread that ends leaves a publisher that works, but reconciles nothing, and nobody would
            # notice.
            log.exception("reconciliation failed")


def _reconcile_under_lease(
    app: Celery, store: Store, outage: OutageDetector, reported: set[str], *, name: str, keep: float
) -> None:
    begun = time.monotonic()
    lease = leases.take(store, "reconciler", duration=_ROUND, holder=name)
    try:
        redis_time, now = store.now(), time.monotonic()
        steady = outage.is_over(now, waited=now - begun, local_time=time.time(), redis_time=redis_time)
        if outage.set_back:
            pull_back(store)
            outage.set_back = False
        reconcile(app, store, keep=keep, steady=steady, reported=reported)
    finally:
        leases.release(store, lease)
