"""What is tried again and what is final, of a run and of a command."""

from __future__ import annotations

from typing import Any

import pytest

from farm.errors import (
    BuildFailedError,
    BuildYmlError,
    CancelledError,
    DiskFullError,
    FarmError,
    GitUnavailableError,
    NoWorkerError,
    RegistryDeniedError,
    RegistryUnavailableError,
    SettingsError,
)
from farm.watch.publish_branch import failures, in_one_line, is_final


def run(state: str, *errors: FarmError) -> dict[str, Any]:
    """A run as `farm status --json` prints it, with one package for each error."""
    packages = [
        {"error": FarmError(f"failed: {one}").to_json(), "jobs": [{"error": one.to_json()}, {"error": None}]}
        for one in errors
    ]
    return {"state": state, "packages": [*packages, {"error": None, "jobs": []}]}


def test_a_run_that_is_done_has_no_failure() -> None:
    assert failures(run("done")) == []


def test_the_failures_of_a_run_are_those_of_its_jobs_with_their_kinds() -> None:
    found = failures(run("failed", RegistryUnavailableError("away"), BuildFailedError("RUN step 1 failed")))
    assert [type(error) for error in found] == [RegistryUnavailableError, BuildFailedError]
    assert in_one_line([error.message for error in found]) == "away; and 1 more"


def test_a_run_that_ended_without_an_error_says_how() -> None:
    (error,) = failures(run("cancelled"))
    assert error.message == "ended as cancelled"
    assert isinstance(error, CancelledError)


@pytest.mark.parametrize("error", [BuildFailedError("x"), BuildYmlError("x")])
def test_what_is_wrong_with_the_commit_is_final(error: FarmError) -> None:
    assert is_final(error)


@pytest.mark.parametrize(
    "error",
    [
        FarmError("killed"),
        RegistryUnavailableError("x"),
        RegistryDeniedError("x"),
        NoWorkerError("x"),
        SettingsError("x"),
        GitUnavailableError("x"),
        DiskFullError("x"),
        CancelledError("x"),
    ],
)
def test_what_an_operator_or_time_can_repair_is_tried_again(error: FarmError) -> None:
    assert not is_final(error)
