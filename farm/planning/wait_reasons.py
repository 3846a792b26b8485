"""Why a package or job waits, in a few words: a pure function over a run and its queues."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from farm.model import JobState, PackageState
from farm.syntax.quantities import format_duration

if TYPE_CHECKING:
    from collections.abc import Mapping

    from farm.state.queue_positions import QueuePosition
    from farm.state.records import JobRecord, PackageRecord, RunRecord

Waits = dict[tuple[str, str], str]
"""(package, architecture) to why the job waits; (package, "") for the package itself."""


def explain(
    record: RunRecord,
    lines: Mapping[str, QueuePosition],
    starts: Mapping[tuple[str, str], float] | None = None,
) -> Waits:
    """Why each waiting package and job of a run waits; `lines` are the queues by architecture.

    `starts` are the seconds until the job of a package and architecture will probably start.
    """
    waits: Waits = {}
    expected = starts or {}
    before = Counter({arch: len(line.requeued) for arch, line in lines.items()})
    for name, package in record.packages.items():
        if why := _package(package, record):
            first = min(
                (expected[name, arch] for arch in package.jobs if (name, arch) in expected), default=None
            )
            waits[name, ""] = f"{why}{_about(first)}"
        for arch, job in sorted(package.jobs.items(), key=lambda pair: pair[1].at):
            seconds, line = expected.get((name, arch)), lines.get(arch)
            if job.state is JobState.QUEUED:
                requeued = line is not None and name in line.requeued
                waits[name, arch] = _queued(job, line, before[arch], name if requeued else "", seconds)
                before[arch] += not (job.waiting_for or requeued)
            elif job.state is JobState.WAITING and package.state is PackageState.BUILDING:
                waits[name, arch] = _ready(name, job, line, seconds)
    return waits


def _package(package: PackageRecord, record: RunRecord) -> str:
    if package.state is PackageState.WAITING:
        unpublished = [need for need in package.needs if not record.packages[need].state.succeeded]
        return f"waits for {', '.join(unpublished)}" if unpublished else "about to start"
    if package.state is PackageState.BUILDING and package.waiting_for:
        return f"waits for another publication to this repository: {package.waiting_for}"
    return ""


def _queued(
    job: JobRecord, line: QueuePosition | None, before: int, requeued: str, seconds: float | None
) -> str:
    """Why a job waits whose message was sent, `before` jobs of its run; `requeued` is its package, or ""."""
    if job.waiting_for:
        return f"same build in progress: {job.waiting_for}"
    if line is None:
        return "queued"
    if not line.slots:
        return line.unserved or f"no worker for {job.arch}"
    ahead = line.ahead + before
    if requeued:
        ahead = line.ahead_of_requeued + line.requeued.index(requeued)
    return _behind(ahead, line, seconds)


def _ready(name: str, job: JobRecord, line: QueuePosition | None, seconds: float | None) -> str:
    """Why a job waits that is not sent yet: it is not its turn."""
    if line is None:
        return "about to be queued"
    if not line.slots:
        return line.unserved or f"no worker for {job.arch}"
    own = line.ready.index(name) if name in line.ready else 0
    return _behind(line.sent + own, line, seconds)


def _behind(ahead: int, line: QueuePosition, seconds: float | None) -> str:
    if ahead + line.in_progress < line.slots:
        return "about to start"
    about = _about(seconds) if line.durations else ""
    return f"behind {ahead} job{'' if ahead == 1 else 's'}{about}" if ahead else f"next{about}"


def _about(seconds: float | None) -> str:
    return "" if seconds is None else f" (about {format_duration(seconds)})"
