"""Publish what a commit of a branch lacks, by one run, however often the watch is killed meanwhile."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from farm.errors import (
    BuildFailedError,
    CancelledError,
    FarmError,
    InputError,
    RunInterruptedError,
    SettingsError,
)
from farm.model import Reference
from farm.watch.heads import Outcome, Status

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from farm.watch.farm_commands import FarmCommands

_PLAN_TIMEOUT, _RUN_TIMEOUT = 3600.0, 3 * 86400.0
"""Seconds: to read and look up everything, and to submit it; for a run, which has limits of its own."""
_ROUNDS = 3
"""Runs of one commit: a run of somebody else may have ended without what this one left to it."""


def publish(
    commands: FarmCommands, words: Sequence[str], key: str, report: Callable[[str, str], None]
) -> Status:
    """Publish and sign what packages lack; returns what became of it.

    The registry decides when that is done: nothing is left to do. The runs are submitted once under `key`: a
    second call follows the same runs.

    Args:
        commands: runs `farm`.
        words: the directories of the packages, or --all and the directories below which they are.
        key: names the commit.
        report: called with the name of each run and a line about it.

    Raises:
        RunInterruptedError: a run failed by what may pass; another key may succeed.
        FarmError: the packages cannot be submitted.
    """
    run = ""
    for attempt in range(1, _ROUNDS + 1):
        options = ("--detach", "--once", f"{key} {attempt}")
        submitted = commands.run("push", *options, *words, timeout=_PLAN_TIMEOUT)
        if not submitted.get("run"):
            what = f"packages published: {len(submitted.get('packages', ()))}"
            return Status(Outcome.SUCCESS, f"{what} (run {run})" if run else f"{what} (nothing to do)")
        run = str(submitted["run"])
        report(run, f"run {run} builds and publishes")
        ended = commands.run("status", "-f", run, timeout=_RUN_TIMEOUT)
        if errors := failures(ended):
            text = f"run {run}: {in_one_line([error.message for error in errors])}"
            # What a person has cancelled is not begun again.
            if any(is_final(error) or isinstance(error, CancelledError) for error in errors):
                return Status(Outcome.FAILURE, text)
            raise RunInterruptedError(text)
    raise RunInterruptedError(f"run {run} ended, and there is still something to publish")


def is_final(error: FarmError) -> bool:
    """Whether the same commit fails in the same way however often it is tried."""
    if error.retryable or isinstance(error, SettingsError):
        return False
    return isinstance(error, InputError | BuildFailedError)


def failures(run: Mapping[str, Any]) -> list[FarmError]:
    """Why a run did not succeed: what failed in it, or how it ended; nothing if it did."""
    if run.get("state") == "done":
        return []
    packages = [one for one in run.get("packages", ()) if one.get("error")]
    # The error of a package repeats that of a job, without its kind.
    found = [job["error"] for one in packages for job in one["jobs"] if job.get("error")]
    errors = found or [one["error"] for one in packages]
    return [FarmError.from_json(one) for one in errors] or [CancelledError(f"ended as {run.get('state')}")]


def in_one_line(messages: Sequence[str]) -> str:
    """The first message, and how many more there are."""
    return messages[0] + (f"; and {len(messages) - 1} more" if len(messages) > 1 else "")


def work(commands: FarmCommands, words: Sequence[str]) -> tuple[list[str], list[str]]:
    """What a push would build, publish or sign: the directories of the packages, and their names."""
    plan = commands.run("plan", *words, timeout=_PLAN_TIMEOUT)
    items = [one for one in plan["packages"] if one["build"] or one["publish"] or one["sign"]]
    return [one["directory"] for one in items], [Reference.parse(one["reference"]).name for one in items]
