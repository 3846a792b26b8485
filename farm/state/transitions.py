"""Transitions: each is one Lua script that changes a record if its state and token are as expected.

A record that waits is in one of three sorted sets of its run, by the time since when: the queue of its
architecture, "in-progress" (under a lease, or waiting for one), or "due" (the coordinator has a step to
take). The reconciler reads there what was lost.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from farm.errors import CancelledError
from farm.model import JobState, PackageState
from farm.model.states import JOB_TRANSITIONS, PACKAGE_TRANSITIONS, sources
from farm.state.record_patches import JobPatch, PackagePatch
from farm.state.records import JobRecord, PackageRecord, parse_job, parse_package

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from farm.errors import FarmError
    from farm.state.record_patches import Patch
    from farm.state.run_handles import JobHandle, PackageHandle, RunHandle
    from farm.state.store import Call, Store

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

    Args:
        job: the job.
        to: the new state.
        patch: further fields of the record.
        expected_states: the states that the job may be in: all from which `to` may follow, or some of them.
        expected_token: the fencing token that the record must carry; "" for any.

    Raises:
        ValueError: `to` never follows one of the expected states.
    """
    text = _run(job.store, _job_call(job, to, patch, expected_states, expected_token))
    return parse_job(text) if text else None


def move_package(
    package: PackageHandle,
    to: PackageState,
    patch: PackagePatch = _NO_PACKAGE_FIELDS,
    *,
    expected_states: Collection[PackageState] | None = None,
    expected_token: str = "",
) -> PackageRecord | None:
    """Change a package's state; arguments, result and errors are those of `move_job`."""
    text = _run(package.store, _package_call(package, to, patch, expected_states, expected_token))
    return parse_package(text) if text else None


def cancel_jobs(run: RunHandle, errors: Mapping[JobHandle, FarmError]) -> list[JobHandle]:
    """Cancel jobs, each for a reason, in few round trips; returns those that had not ended."""
    calls = [_job_call(job, JobState.CANCELLED, JobPatch(error=error)) for job, error in errors.items()]
    answers = run.store.run_scripts("transition", calls)
    return [job for job, (moved, _) in zip(errors, answers, strict=True) if moved]


def end_packages(run: RunHandle, errors: Mapping[PackageHandle, FarmError]) -> list[PackageHandle]:
    """Cancel packages for a CancelledError, fail them for any other; returns those that had not ended."""
    calls = [
        _package_call(package, _end_state(error), PackagePatch(error=error))
        for package, error in errors.items()
    ]
    answers = run.store.run_scripts("transition", calls)
    return [package for package, (moved, _) in zip(errors, answers, strict=True) if moved]


def _end_state(error: FarmError) -> PackageState:
    return PackageState.CANCELLED if isinstance(error, CancelledError) else PackageState.FAILED


def clear_due(package: PackageHandle, *, handled: float) -> None:
    """Remove a package from the due ones, unless it became due again since the time `handled`."""
    package.store.run_script("clear_due", [package.run.key("due")], [package.field, handled])


def _job_call(
    job: JobHandle,
    to: JobState,
    patch: JobPatch,
    expected_states: Collection[JobState] | None = None,
    expected_token: str = "",
) -> Call:
    allowed = sources(JOB_TRANSITIONS, to)
    # A queued job that waits for a lease has no message in its queue, so it must not look lost there.
    under_lease = to.in_progress or patch.waiting_for
    queue = "queued" if to is JobState.QUEUED else ""
    request = {
        "field": job.field,
        "package": job.package.field,
        "expected_states": _narrowed(allowed, expected_states, to),
        "ends": to.ended,
        "waits_in": "in_progress" if under_lease else queue,
    }
    return _call(job.run, request, to, patch, expected_token, arch=job.arch)


def _package_call(
    package: PackageHandle,
    to: PackageState,
    patch: PackagePatch,
    expected_states: Collection[PackageState] | None = None,
    expected_token: str = "",
) -> Call:
    allowed = sources(PACKAGE_TRANSITIONS, to)
    request = {
        "field": package.field,
        "package": "",
        "expected_states": _narrowed(allowed, expected_states, to),
        "ends": to.ended,
        # Also when it has ended: its dependents must be started or ended.
        "waits_in": "in_progress" if to.in_progress or patch.waiting_for else "due",
    }
    return _call(package.run, request, to, patch, expected_token)


def _narrowed(allowed: tuple[str, ...], chosen: Collection[str] | None, to: str) -> list[str]:
    # Never more than the table allows: it stays the only place that says what may follow what.
    if chosen is None:
        return list(allowed)
    if unknown := [state for state in chosen if state not in allowed]:
        raise ValueError(f"no transition leads from {', '.join(unknown)} to {to}: see farm.model.states")
    return list(chosen)


def _call(
    run: RunHandle,
    request: Mapping[str, object],
    to: JobState | PackageState,
    patch: Patch,
    expected_token: str,
    *,
    arch: str = "",
) -> Call:
    parts = ("meta", "records", "events", "left", f"queued:{arch}", "in-progress", "due")
    whole = {
        **request,
        "expected_token": expected_token,
        "patch": {"state": to, **patch.to_json()},
        "max_events": _MAX_EVENTS,
    }
    return [run.key(part) for part in parts], [json.dumps(whole)]


def _run(store: Store, call: Call) -> str | None:
    """The new record; None where nothing was changed."""
    moved, text = store.run_script("transition", *call)
    return str(text) if moved else None
