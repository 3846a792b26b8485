"""Why a package or job waits, in a few words: a pure function over a run and its queues."""

from __future__ import annotations

import math
from collections import Counter
from statistics import fmean
from typing import TYPE_CHECKING

from farm.model import JobState, PackageState
from farm.syntax.quantities import format_duration

if TYPE_CHECKING:
    from collections.abc import Mapping

    from farm.state.queue_positions import QueuePosition
    from farm.state.records import JobRecord, PackageRecord, RunRecord

Waits = dict[tuple[str, str], str]
"""(package, architecture) to why the job waits; (package, "") for the package itself."""


def explain(record: RunRecord, lines: Mapping[str, QueuePosition]) -> Waits:
    """Why each waiting package and job of a run waits; `lines` are the queues by architecture."""
    waits: Waits = {}
    before = Counter({arch: len(line.requeued) for arch, line in lines.items()})
    for name, package in record.packages.items():
        if why := _package(package, record):
            waits[name, ""] = why
        for arch, job in sorted(package.jobs.items(), key=lambda pair: pair[1].at):
            if job.state is JobState.QUEUED:
                line = lines.get(arch)
                requeued = line is not None and name in line.requeued
                waits[name, arch] = _job(job, line, before[arch], name if requeued else "")
                before[arch] += not (job.waiting_for or requeued)
    return waits


def _package(package: PackageRecord, record: RunRecord) -> str:
    if package.state is PackageState.WAITING:
        unpublished = [need for need in package.needs if not record.packages[need].state.succeeded]
        return f"waits for {', '.join(unpublished)}" if unpublished else "about to start"
    if package.state is PackageState.BUILDING and package.waiting_for:
        return f"waits for another publication to this repository: {package.waiting_for}"
    return ""


def _job(job: JobRecord, line: QueuePosition | None, before: int, requeued: str) -> str:
    """Why a job waits, `before` jobs of its run; `requeued` is its package if it was requeued, else ""."""
    if job.waiting_for:
        return f"same build in progress: {job.waiting_for}"
    if line is None:
        return "queued"
    if not line.slots:
        return f"no worker for {job.arch}"
    ahead = line.ahead + before
    if requeued:
        ahead = line.ahead_of_requeued + line.requeued.index(requeued)
    busy = ahead + line.in_progress
    if busy < line.slots:
        return "about to start"
    seconds = fmean(line.durations) * math.ceil(busy / line.slots) if line.durations else 0.0
    estimate = f" (about {format_duration(seconds)})" if line.durations else ""
    return f"behind {ahead} job{'' if ahead == 1 else 's'}{estimate}" if ahead else f"next{estimate}"
