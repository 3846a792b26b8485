"""Changes of a run: one record at a time, each one checked, made and told in one step.

A record that waits for somebody stands, by the time since when, in one of three sorted sets of its run: its
architecture's queue, "hand" (a holder of a lease works on it, or it waits for that lease), or "due" (the
coordinator has a step to take). The reconciler finds there what nobody will ever come for.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from farm.errors import CancelledError
from farm.model import JobState, PackageState
from farm.state.records import JobRecord, PackageRecord, job_field, package_field, read_job, read_package
from farm.state.store import Store, run_key

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from farm.errors import FarmError
    from farm.model import ArchImage, Descriptor
    from farm.state.store import Call

_MOST_EVENTS = 200_000
_NOWHERE, _QUEUE, _HAND, _DUE = range(4)
_ENDED = f",{','.join(state for state in JobState if state.ended)},"
_OPEN_JOB = tuple(state for state in JobState if not state.ended)
_OPEN_PACKAGE = tuple(state for state in PackageState if not state.ended)
IN_PROGRESS = (JobState.LEASED, JobState.BUILDING, JobState.PUSHING)
"""States of a job that somebody works on."""


def move_job(
    store: Store,
    run: str,
    package: str,
    arch: str,
    to: JobState,
    *,
    holding: str = "",
    come_from: Sequence[JobState] = _OPEN_JOB,
    image: ArchImage | None = None,
    error: FarmError | None = None,
    **facts: str | float,
) -> JobRecord | None:
    """Change a job's state; returns the new record, or None where the job is not as expected.

    Args:
        store: where the run is kept.
        run: its name.
        package: the package.
        arch: the architecture.
        to: the new state.
        holding: the token of the lease that the record must carry; "" for any.
        come_from: states from which it may come; by default any that is not an end.
        image: what was built, for the states that have landed.
        error: why, for a failure.
        facts: fields of the record beside these, merged into it.
    """
    patch = _patch(to, error, facts)
    if image:
        patch["image"] = json.dumps(image.to_json())
    place = _HAND if to in IN_PROGRESS or patch["behind"] else _QUEUE if to is JobState.QUEUED else _NOWHERE
    names = (job_field(package, arch), package_field(package))
    call = _call(run, names, come_from, patch, queue=arch, token=holding, place=place)
    text = _made(store.run_script("transition", *call))
    return read_job(text) if text else None


def end_jobs(store: Store, run: str, ends: Mapping[tuple[str, str], FarmError]) -> list[tuple[str, str]]:
    """Cancel jobs, (package, architecture) to why, in few round trips; returns those that had not ended."""
    calls = [
        _call(
            run,
            (job_field(package, arch), package_field(package)),
            _OPEN_JOB,
            _patch(JobState.CANCELLED, error, {}),
            queue=arch,
            place=_NOWHERE,
        )
        for (package, arch), error in ends.items()
    ]
    answers = store.run_scripts("transition", calls)
    return [name for name, answer in zip(ends, answers, strict=True) if _made(answer)]


def end_packages(store: Store, run: str, ends: Mapping[str, FarmError]) -> list[str]:
    """Fail or cancel packages, by name why, in few round trips; returns those that had not ended.

    What was cancelled ends as cancelled, for whatever else as failed.
    """
    calls = [
        _package_call(run, package, _end_for(error), _OPEN_PACKAGE, _patch(_end_for(error), error, {}))
        for package, error in ends.items()
    ]
    answers = store.run_scripts("transition", calls)
    return [name for name, answer in zip(ends, answers, strict=True) if _made(answer)]


def _end_for(error: FarmError) -> PackageState:
    return PackageState.CANCELLED if isinstance(error, CancelledError) else PackageState.FAILED


def move_package(
    store: Store,
    run: str,
    package: str,
    to: PackageState,
    *,
    holding: str = "",
    come_from: Sequence[PackageState] = _OPEN_PACKAGE,
    index: Descriptor | None = None,
    error: FarmError | None = None,
    **facts: str | float,
) -> PackageRecord | None:
    """Change a package's state; returns the new record, or None where the package is not as expected.

    The arguments are as with `move_job`; `index` is what was published.
    """
    patch = _patch(to, error, facts)
    if index:
        patch["index"] = json.dumps(index.to_json())
    call = _package_call(run, package, to, come_from, patch, token=holding)
    text = _made(store.run_script("transition", *call))
    return read_package(text) if text else None


def _package_call(
    run: str,
    package: str,
    to: PackageState,
    come_from: Sequence[PackageState],
    patch: dict[str, Any],
    *,
    token: str = "",
) -> Call:
    outcome = ("stands" if to.stands else str(to)) if to.ended else ""
    place = _HAND if to is PackageState.PUBLISHING or patch["behind"] else _DUE
    names = (package_field(package), "")
    return _call(run, names, come_from, patch, token=token, outcome=outcome, place=place)


def clear_due(store: Store, run: str, package: str, *, seen: float) -> None:
    """Take a package off the due ones, unless it became due again after the time `seen`."""
    store.run_script("told", [run_key(run, "due")], [package_field(package), seen])


def _patch(to: JobState | PackageState, error: FarmError | None, facts: dict[str, Any]) -> dict[str, Any]:
    return {
        "state": to,
        "behind": "",
        "resent": 0,
        "error": json.dumps(error.to_json()) if error else "",
        **facts,
    }


def _call(
    run: str,
    names: tuple[str, str],
    come_from: Sequence[JobState | PackageState],
    patch: dict[str, Any],
    *,
    place: int,
    queue: str = "",
    token: str = "",
    outcome: str = "",
) -> Call:
    parts = ("meta", "records", "events", "left", f"queued:{queue}", "hand", "due")
    name, above = names
    states = f",{','.join(come_from)},"
    return (
        [run_key(run, part) for part in parts],
        [name, states, token, json.dumps(patch), outcome, _MOST_EVENTS, place, above, _ENDED],
    )


def _made(answer: list[Any]) -> str | None:
    """The new record out of the script's answer; None where nothing was changed."""
    moved, text = answer
    return str(text) if moved else None
