"""Send the jobs that are ready, as far as workers need them: most urgent first, shared among submitters.

A submission, a publication that starts others, a worker that takes the last job of its queue, and the
reconciler do this, once a second at least. It may be cut off at any line, and done twice at once: of two that
send a job, one gets past its transition.
"""

from __future__ import annotations

import logging
from collections import Counter
from functools import lru_cache
from itertools import islice
from typing import TYPE_CHECKING

from farm.errors import FarmError, StateUnavailableError
from farm.model import ARCHES, JobState
from farm.planning.job_order import choose_runs, most_queued
from farm.scheduling.celery_app import Priority, build_queue, redis_list
from farm.scheduling.dispatch import connect, send_in_chord
from farm.state import transitions
from farm.state.earlier_builds import durations_by_arch
from farm.state.ready import next_ready, no_longer_ready, read_open_runs
from farm.state.records import JobPatch
from farm.state.run_handles import RunHandle
from farm.state.runs import read_work, read_works
from farm.state.workers import slots_of, workers

if TYPE_CHECKING:
    from collections.abc import Sequence

    from celery import Celery

    from farm.model import PackageWork
    from farm.model.open_run import OpenRun
    from farm.state.run_handles import JobHandle
    from farm.state.store import Store

log = logging.getLogger(__name__)

_PASSED_OVER = 20
"""Jobs of a run that cannot be read, and that do not keep those behind them from being sent."""


def send_ready(
    app: Celery, store: Store, arches: Sequence[str] = ARCHES, *, until: float | None = None
) -> int:
    """Send jobs until the queue of each of these architectures has enough; returns how many were sent.

    With `until`, a time by Redis' clock, only those of runs that were stored before it.
    """
    runs = read_open_runs(store, arches, until=until)
    wanted = [arch for arch in arches if any(one.ready.get(arch) for one in runs)]
    if not wanted:
        return 0
    # Before the first transition: what another one sends meanwhile would overtake the job.
    connect(app)
    room = _room(store, wanted)
    return sum(_send(app, store, arch, room[arch], runs) for arch in wanted if room[arch] > 0)


def try_to_send_ready(app: Celery, store: Store, arches: Sequence[str] = ARCHES) -> None:
    """The same, beside other work that must not fail by it; what is not sent, the reconciler sends."""
    try:
        send_ready(app, store, arches)
    except FarmError as error:
        log.warning("not all jobs were sent, the reconciler tries again: %s", error)


def refill(app: Celery, store: Store, arch: str) -> None:
    """Send more jobs if a worker has taken the last one."""
    try:
        if any(store.ask(("llen", redis_list(build_queue(arch), priority)) for priority in Priority)):
            return
    except FarmError as error:
        log.warning("the queue of %s cannot be read: %s", arch, error)
        return
    try_to_send_ready(app, store, [arch])


def _room(store: Store, arches: Sequence[str]) -> dict[str, int]:
    """How many more messages the queue of each architecture is to have."""
    lists = [(arch, redis_list(build_queue(arch), priority)) for arch in arches for priority in Priority]
    lengths = store.ask_each(("llen", name) for _, name in lists)
    queued: Counter[str] = Counter()
    for (arch, _), length in zip(lists, lengths, strict=True):
        queued[arch] += 0 if isinstance(length, Exception) else length
    slots = slots_of(workers(store))
    durations = durations_by_arch(store, arches)
    return {arch: most_queued(slots[arch], durations[arch]) - queued[arch] for arch in arches}


def _send(app: Celery, store: Store, arch: str, room: int, runs: Sequence[OpenRun]) -> int:
    chosen = choose_runs(arch, room, runs)
    jobs = {name: _next_jobs(RunHandle(store, name), arch, count) for name, count in Counter(chosen).items()}
    sent = 0
    for name in chosen:
        # Another one may have sent some meanwhile, so that fewer are left.
        if jobs[name]:
            sent += _send_job(app, *jobs[name].pop(0))
    return sent


def _next_jobs(run: RunHandle, arch: str, count: int) -> list[tuple[JobHandle, PackageWork]]:
    """The jobs that are next; without those that cannot be read, which must not stop the others."""
    jobs = next_ready(run, arch, count)
    try:
        return list(zip(jobs, read_works(run, [job.package.name for job in jobs]), strict=True))
    except StateUnavailableError:
        raise
    except FarmError:
        readable = ((job, _readable(job)) for job in next_ready(run, arch, count + _PASSED_OVER))
        return list(islice(((job, work) for job, work in readable if work), count))


def _readable(job: JobHandle) -> PackageWork | None:
    try:
        return read_work(job.package)
    except StateUnavailableError:
        raise
    except FarmError as error:
        _warn(f"{job.run}: {job} cannot be read, and is not built: {error}")
        return None


@lru_cache(1000)
def _warn(what: str) -> None:
    """Warn once, though it is tried again each second."""
    log.warning(what)


def _send_job(app: Celery, handle: JobHandle, work: PackageWork) -> bool:
    """Send a job, unless another one did or it has ended; False also if its record cannot be read."""
    try:
        # Queued before it is sent: a worker may take the message before the sender's next line runs.
        queued = transitions.move_job(
            handle, JobState.QUEUED, JobPatch(token=""), expected_states=[JobState.WAITING]
        )
    except StateUnavailableError:
        raise
    except FarmError as error:
        _warn(f"{handle.run}: {handle} cannot be sent: {error}")
        return False
    job = next((one for one in work.jobs if one.arch == handle.arch), None)
    if not queued or not job:
        no_longer_ready(handle)
        return False
    send_in_chord(app, work, job)
    return True
