"""Records as they are stored and as they are shown."""

from __future__ import annotations

import json

import pytest

from farm.errors import BuildFailedError, EngineUnavailableError, FarmError
from farm.model import JobState, PackageState, RunState
from farm.state.records import (
    JobRecord,
    PackageRecord,
    RunRecord,
    arch_of,
    failure_of,
    job_field,
    package_field,
    package_of,
    parse_job,
    parse_package,
)
from tests.support.values import descriptor, image

NAME = "linuxkit/foo"
BROKEN = BuildFailedError("linuxkit/foo arm64: step 3 failed", hint="farm logs r1 linuxkit/foo arm64")


def built(arch: str) -> JobRecord:
    return JobRecord(arch, JobState.BUILT, image=image(arch))


def failed(arch: str, error: FarmError | None = BROKEN) -> JobRecord:
    return JobRecord(arch, JobState.FAILED, error=error)


def test_a_stored_job_is_read_with_its_image_and_its_error() -> None:
    stored = {
        "arch": "arm64",
        "state": "failed",
        "at": 5.25,
        "started": 2.0,
        "token": "t",
        "worker": "w",
        "lost": 2,
        "image": json.dumps(image("arm64").to_json()),
        "error": json.dumps(BROKEN.to_json()),
    }
    job = parse_job(json.dumps(stored))
    assert (job.arch, job.state, job.at, job.token, job.lost) == ("arm64", JobState.FAILED, 5.25, "t", 2)
    assert job.image == image("arm64")
    assert isinstance(job.error, BuildFailedError)
    assert str(job.error) == str(BROKEN)


def test_a_new_record_has_only_its_name_and_state() -> None:
    job = parse_job('{"arch": "amd64", "state": "waiting"}')
    assert job == JobRecord("amd64", JobState.WAITING)
    package = parse_package('{"package": "a/b", "reference": "r", "state": "waiting"}')
    assert package == PackageRecord("a/b", "r", PackageState.WAITING)


def test_a_field_that_a_later_version_adds_is_ignored() -> None:
    assert parse_job('{"arch": "amd64", "state": "queued", "colour": "red"}').state is JobState.QUEUED


@pytest.mark.parametrize("package", ["linuxkit/foo", "a b/c d", "foo"])
def test_the_names_of_records_can_be_read_back(package: str) -> None:
    assert package_of(job_field(package, "s390x")) == package
    assert arch_of(job_field(package, "s390x")) == "s390x"
    assert package_of(package_field(package)) == package


def test_a_run_as_json_holds_each_package_and_each_job_with_its_reason() -> None:
    index = descriptor("index", None)
    jobs = {"amd64": built("amd64"), "arm64": failed("arm64")}
    package = PackageRecord(NAME, "ref", PackageState.FAILED, index=index, error=BROKEN, jobs=jobs)
    data = RunRecord("r1", RunState.FAILED, "me", 1.0, 2.0, {NAME: package}).to_json()
    assert (data["run"], data["state"], data["finished"]) == ("r1", "failed", 2.0)
    (shown,) = data["packages"]
    assert (shown["state"], shown["index"], shown["error"]) == ("failed", index.to_json(), BROKEN.to_json())
    assert [job["state"] for job in shown["jobs"]] == ["built", "failed"]
    assert shown["jobs"][0]["image"] == image("amd64").to_json()
    assert json.loads(json.dumps(data)) == data


def test_a_run_as_json_has_no_fencing_token() -> None:
    job = JobRecord("amd64", JobState.BUILDING, token="secret-token", worker="w")
    package = PackageRecord(NAME, "ref", PackageState.BUILDING, token="secret-token", jobs={"amd64": job})
    data = RunRecord("r1", RunState.OPEN, "me", 1.0, None, {NAME: package}).to_json()
    assert "secret-token" not in json.dumps(data)


@pytest.mark.parametrize("state", [state for state in JobState if not state.ended])
def test_a_package_has_not_failed_while_a_job_has_not_ended(state: JobState) -> None:
    assert failure_of(NAME, [failed("amd64"), JobRecord("arm64", state)]) is None


def test_a_package_whose_jobs_all_succeeded_has_not_failed() -> None:
    assert failure_of(NAME, [built("amd64"), JobRecord("arm64", JobState.EXISTS)]) is None
    assert failure_of(NAME, []) is None


def test_the_reason_is_that_of_the_job_that_failed_with_its_kind_and_hint() -> None:
    error = failure_of(NAME, [built("amd64"), failed("arm64")])
    assert isinstance(error, BuildFailedError)
    assert (error.message, error.hint) == (BROKEN.message, BROKEN.hint)


def test_every_further_job_that_failed_is_named() -> None:
    other = EngineUnavailableError("linuxkit/foo s390x: the engine went away")
    error = failure_of(NAME, [failed("arm64"), built("amd64"), failed("s390x", other)])
    assert isinstance(error, BuildFailedError)
    assert error.message.startswith(BROKEN.message)
    assert "s390x" in error.message


def test_a_cancelled_job_without_a_reason_is_still_named() -> None:
    error = failure_of(NAME, [built("amd64"), JobRecord("arm64", JobState.CANCELLED)])
    assert error is not None
    assert "linuxkit/foo" in error.message
    assert "arm64" in error.message
    assert "cancelled" in error.message
