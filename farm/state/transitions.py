"""Transitions: each is one Lua script that changes a record if its state and token are as expected.

A job that may be sent is in the sorted set "ready" of its architecture, see farm.state.ready. A record that
waits for something else is in one of four sorted sets of its run, by the time since when: the queue of its
architecture, "requeued" (its message was sent again, to the head of that queue), "in-progress" (under a
lease, or waiting for one), or "due" (the coordinator has a step to take). The reconciler reads there what was
lost.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from farm.errors import CancelledError
from farm.model import JobState, PackageState
from farm.model.states import JOB_TRANSITIONS, PACKAGE_TRANSITIONS, sources
from farm.state.ready import ready_part
from farm.state.records import JobPatch, PackagePatch, Patch, parse_job, parse_package
from farm.state.run_handles import JobHandle, PackageHandle

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from farm.errors import FarmError
    from farm.state.records import JobRecord, PackageRecord
    from farm.state.run_handles import RunHandle
    from farm.state.store import Call

_MAX_EVENTS = 200_000
_NO_JOB_FIELDS = JobPatch()
_NO_PACKAGE_FIELDS = PackagePatch()


def move_job(
    job: JobHandle,
    to: JobState,
    patch: JobPatch = _NO_JOB_FIELDS,
    *,
    expected_states: Collection[JobState] | None = None,
    expected_token: str = "",
) -> JobRecord | None:
    """Change a job's state; returns the new record, or None where the job is not as expected.

    The states that it may be in are those that `to` may follow, or the `expected_states` among them. The
    expected fencing token "" is any one.
    """
    text = _move(job, to, patch, expected_states, expected_token)
    return parse_job(text) if text else None


def move_package(
    package: PackageHandle,
    to: PackageState,
    patch: PackagePatch = _NO_PACKAGE_FIELDS,
    *,
    expected_states: Collection[PackageState] | None = None,
    expected_token: str = "",
) -> PackageRecord | None:
    """Change a package's state, as `move_job` does a job's."""
    text = _move(package, to, patch, expected_states, expected_token)
    return parse_package(text) if text else None


def cancel_jobs(run: RunHandle, errors: Mapping[JobHandle, FarmError]) -> None:
    """Cancel the jobs that have not ended, each for a reason, in few round trips."""
    run.store.run_scripts(
        "transition",
        [_call(job, JobState.CANCELLED, Patch(error=error)) for job, error in errors.items()],
    )


def end_packages(run: RunHandle, errors: Mapping[PackageHandle, FarmError]) -> bool:
    """Cancel packages for a CancelledError, fail them for any other; returns whether one had not ended."""
    calls = [_call(package, _end_state(error), Patch(error=error)) for package, error in errors.items()]
    return any(moved for moved, _ in run.store.run_scripts("transition", calls))


def _end_state(error: FarmError) -> PackageState:
    return PackageState.CANCELLED if isinstance(error, CancelledError) else PackageState.FAILED


def start_packages(run: RunHandle, packages: Sequence[PackageHandle]) -> list[PackageHandle]:
    """Let packages that wait be built, in few round trips; returns those that this changed."""
    waiting = [PackageState.WAITING]
    calls = [_call(one, PackageState.BUILDING, _NO_PACKAGE_FIELDS, waiting) for one in packages]
    answers = run.store.run_scripts("transition", calls)
    return [package for package, (moved, _) in zip(packages, answers, strict=True) if moved]


def clear_due(run: RunHandle, packages: Iterable[PackageHandle], *, handled: float) -> None:
    """Remove packages from the due ones, but for those that became due again since the time `handled`."""
    calls: list[Call] = [([run.key("due")], [package.field, handled]) for package in packages]
    run.store.run_scripts("clear_due", calls)


def _move(
    handle: JobHandle | PackageHandle,
    to: JobState | PackageState,
    patch: Patch,
    expected_states: Collection[str] | None,
    expected_token: str,
) -> str:
    """Make a transition; returns the new record, "" where nothing was changed."""
    call = _call(handle, to, patch, expected_states, expected_token)
    moved, text = handle.store.run_script("transition", *call)
    return str(text) if moved else ""


def _call(
    handle: JobHandle | PackageHandle,
    to: JobState | PackageState,
    patch: Patch,
    expected_states: Collection[str] | None = None,
    expected_token: str = "",
) -> Call:
    job = handle if isinstance(handle, JobHandle) else None
    table: Mapping[Any, Mapping[Any, str]] = JOB_TRANSITIONS if job else PACKAGE_TRANSITIONS
    if to.in_progress or patch.waiting_for:
        # A queued job that waits for a lease has no message in its queue, so it must not look lost there.
        waits_in = "in_progress"
    elif job:
        waits_in = "queued" if to is JobState.QUEUED else ""
    else:
        # Also when it has ended: its dependents must be started or ended.
        waits_in = "due"
    request = {
        "field": handle.field,
        "package": job.package.field if job else "",
        "expected_states": _narrowed(sources(table, to), expected_states, to),
        "expected_token": expected_token,
        "patch": {"state": to, **patch.to_json()},
        "ends": to.ended,
        "waits_in": waits_in,
        "max_events": _MAX_EVENTS,
    }
    arch = job.arch if job else ""
    places = (f"queued:{arch}", "in-progress", "due", "requeued", ready_part(arch))
    parts = ("meta", "records", "events", "left", *places)
    return [handle.run.key(part) for part in parts], [json.dumps(request)]


def _narrowed(allowed: tuple[str, ...], chosen: Collection[str] | None, to: str) -> list[str]:
    # Never more than the table allows: it stays the only place that says what may follow what.
    if unknown := [state for state in chosen or () if state not in allowed]:
        raise ValueError(f"no transition leads from {', '.join(unknown)} to {to}: see farm.model.states")
    return list(allowed if chosen is None else chosen)
