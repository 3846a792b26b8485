"""Why something waits, in a few words: a pure function over a run and the queues before it."""

from __future__ import annotations

import math
from collections import Counter
from statistics import fmean
from typing import TYPE_CHECKING

from farm.model import JobState, PackageState
from farm.syntax.durations import format_duration

if TYPE_CHECKING:
    from collections.abc import Mapping

    from farm.state.queue_positions import Line
    from farm.state.records import JobRecord, PackageRecord, RunRecord

Waits = dict[tuple[str, str], str]
"""(package, architecture) to why the job waits; (package, "") for the package itself."""


def explain(record: RunRecord, lines: Mapping[str, Line]) -> Waits:
    """Why each package and job of a run waits; those that do not wait are left out.

    Args:
        record: the run.
        lines: the queue of each architecture for which it has jobs waiting.
    """
    waits: Waits = {}
    before: Counter[str] = Counter()
    for name, package in record.packages.items():
        if why := _package(package, record):
            waits[name, ""] = why
        for arch, job in sorted(package.jobs.items(), key=lambda pair: pair[1].at):
            if job.state is JobState.QUEUED:
                waits[name, arch] = _job(job, lines.get(arch), before[arch])
                before[arch] += not job.behind
    return waits


def _package(package: PackageRecord, record: RunRecord) -> str:
    if package.state is PackageState.WAITING:
        missing = [need for need in package.needs if not record.packages[need].state.stands]
        return f"waits for {', '.join(missing)}" if missing else "about to start"
    if package.state is PackageState.BUILDING and package.behind:
        return f"published after {package.behind}"
    return ""


def _job(job: JobRecord, line: Line | None, before: int) -> str:
    if job.behind:
        return f"same build under way: {job.behind}"
    if line is None:
        return "queued"
    if not line.slots:
        return f"no worker for {job.arch}"
    ahead = line.ahead + before
    busy = ahead + line.in_hand
    if busy < line.slots:
        return "about to start"
    about = (
        f" (about {format_duration(fmean(line.took) * math.ceil(busy / line.slots))})" if line.took else ""
    )
    return f"behind {ahead} job{'' if ahead == 1 else 's'}{about}" if ahead else f"next{about}"
