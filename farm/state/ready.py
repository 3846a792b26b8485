"""The jobs that may be sent: of each run, by architecture and by how much of the run waits for them.

Of jobs that matter the same, the first of the run comes first.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any

from farm.model import ARCHES, JobState, RunState
from farm.model.open_run import OpenRun
from farm.state.records import arch_of, known_priority, package_of, parse_job
from farm.state.store import OPEN_RUNS, Store, run_key

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from farm.state.run_handles import JobHandle, PackageHandle, RunHandle

_JOB = "J "
_MAX_RUNS = 1000
"""Open runs that are read, the oldest first."""


def ready_part(arch: str) -> str:
    """The part of a run's keys that has its ready jobs of an architecture."""
    return f"ready:{arch}"


def make_ready(run: RunHandle, arches: Mapping[PackageHandle, Sequence[str]]) -> set[PackageHandle]:
    """Let those jobs of packages that wait be sent; returns the packages of which one does.

    Of the others all jobs were cancelled.
    """
    handles = [package.job(arch) for package, own in arches.items() for arch in own]
    if not handles:
        return set()
    texts, ranks = run.store.ask(
        [
            ("hmget", run.key("records"), [job.field for job in handles]),
            ("hmget", run.key("ranks"), [job.package.name for job in handles]),
        ]
    )
    waiting = {
        job: float(rank or 0)
        for job, text, rank in zip(handles, texts, ranks, strict=True)
        if text and parse_job(text).state is JobState.WAITING
    }
    by_arch: defaultdict[str, dict[str, float]] = defaultdict(dict)
    for job, rank in waiting.items():
        by_arch[job.arch][job.field] = rank
    *_, state = run.store.ask(
        [
            *(("zadd", run.key(ready_part(arch)), fields) for arch, fields in by_arch.items()),
            ("hget", run.key("meta"), "state"),
        ]
    )
    if state != RunState.OPEN:
        # It ended meanwhile, and its keys may have got their end of life already.
        for job in waiting:
            no_longer_ready(job)
    return {job.package for job in waiting}


def no_longer_ready(job: JobHandle) -> None:
    """Forget a job that was ready, and has been sent or has ended since."""
    job.store.ask([("zrem", job.run.key(ready_part(job.arch)), job.field)])


def next_ready(run: RunHandle, arch: str, count: int) -> list[JobHandle]:
    """The jobs of an architecture that are to be sent next; all for a `count` of 0.

    What is no job of the architecture, because somebody else wrote it, is removed.
    """
    key = run.key(ready_part(arch))
    (fields,) = run.store.ask([("zrange", key, 0, count - 1, True)])
    jobs = {field: run.package(package_of(field)).job(arch) for field in fields}
    foreign = [field for field, job in jobs.items() if job.field != field]
    run.store.ask(("zrem", key, field) for field in foreign)
    return [job for field, job in jobs.items() if field not in foreign]


def read_open_runs(
    store: Store, arches: Sequence[str] = ARCHES, *, until: float | None = None
) -> list[OpenRun]:
    """What the open runs have sent, and may send, in two round trips.

    With `until`, a time by Redis' clock, only those that were stored before it.
    """
    (names,) = store.ask(
        [("zrangebyscore", OPEN_RUNS, "-inf", "+inf" if until is None else until, 0, _MAX_RUNS)]
    )
    questions = [
        question
        for name in names
        for question in (
            ("hmget", run_key(name, "meta"), ["submitter", "priority", "created"]),
            ("zrange", run_key(name, "in-progress"), 0, -1),
            ("zrange", run_key(name, "requeued"), 0, -1),
            *(("zcard", run_key(name, f"queued:{arch}")) for arch in arches),
            *(("zcard", run_key(name, ready_part(arch))) for arch in arches),
        )
    ]
    answers = store.ask_each(questions)
    width = 3 + 2 * len(arches)
    rows = (answers[at : at + width] for at in range(0, len(answers), width))
    found = (_open_run(name, row, arches) for name, row in zip(names, rows, strict=True))
    return [one for one in found if one]


def _open_run(name: str, row: Sequence[Any], arches: Sequence[str]) -> OpenRun | None:
    """A run; None for one that cannot be read, which the reconciler reports."""
    if any(isinstance(answer, Exception) for answer in row):
        return None
    (submitter, priority, created), leased, again = row[:3]
    sent = Counter(arch_of(field) for field in (*leased, *again) if field.startswith(_JOB))
    queued, ready = row[3 : 3 + len(arches)], row[3 + len(arches) :]
    sent.update(dict(zip(arches, queued, strict=True)))
    known = known_priority(priority)
    try:
        return OpenRun(
            name, str(submitter), known, float(created), sent, dict(zip(arches, ready, strict=True))
        )
    except (TypeError, ValueError):
        return None
