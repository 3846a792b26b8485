"""A run is cancelled, entirely or in part, and only what is missing is retried."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.farm_command import BUSYBOX, Workspace, wait_until
from tests.support.remote_farm import RemoteFarm, Sleep

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.acceptance.conftest import NewWorkspace


class Farm(RemoteFarm):
    """Two workers and a publisher, and the commands of a maintainer."""

    def json(self, *words: str) -> Any:
        """The JSON of a command, which must succeed."""
        return self.done(*words, "--json").json

    def push(self, *packages: str) -> str:
        """Submit packages for amd64 and arm64; returns the run's name."""
        return self.submit("--arches", "amd64,arm64", *packages)

    def status(self, run: str) -> Any:
        """A run, whatever the exit code."""
        return self.run("status", run, "--json").json


@pytest.fixture(scope="module")
def farm(new_workspace: NewWorkspace, module_broker: str) -> Iterator[Farm]:
    """The running farm."""
    with closing(Farm(new_workspace(), module_broker)) as farm, farm.serving("amd64", "arm64"):
        yield farm


def jobs_of(status: Any) -> dict[tuple[str, str], Any]:
    """The jobs of a run by the last part of the package's name and the architecture."""
    return {
        (package["package"].rpartition("/")[2], job["arch"]): job
        for package in status["packages"]
        for job in package["jobs"]
    }


def slow(workspace: Workspace, package: str, *, arch: str = "") -> Sleep:
    """Add a package whose build (on one architecture) lasts until it is cancelled."""
    sleep = Sleep()
    condition = f'test "$(uname -m)" != "{arch}" || ' if arch else ""
    workspace.write(package, Dockerfile=f"{BUSYBOX}RUN {condition}{sleep.command}\n")
    return sleep


def needing(workspace: Workspace, *packages: str) -> str:
    """A Dockerfile that is built FROM the present tags of these packages."""
    return "ARG ORG\n" + "".join(f"FROM ${{ORG}}/{name}:{workspace.tag(name)}\n" for name in packages)


def test_cancel_stops_running_builds_in_the_engine_and_queued_builds_never_start(farm: Farm) -> None:
    process = slow(farm.workspace, "endless")
    farm.workspace.write("behind")
    run = farm.push("endless", "behind")
    process.wait()
    done = farm.json("cancel", run)
    assert len(done["packages"]) == 2
    assert len(done["jobs"]) == 4
    process.wait_stopped()
    status = farm.status(run)
    assert status["state"] == "cancelled"
    jobs = jobs_of(status)
    assert {job["state"] for job in jobs.values()} == {"cancelled"}
    assert not any(job["started"] for (name, _), job in jobs.items() if name == "behind")
    assert "cancelled by" in jobs["endless", "amd64"]["error"]["message"]
    assert farm.workspace.tags("behind") == []
    assert farm.json("cancel", run) == {"run": run, "packages": [], "jobs": []}


def test_one_architecture_can_be_cancelled_and_retry_builds_only_that_one(farm: Farm) -> None:
    process = slow(farm.workspace, "half", arch="aarch64")
    run = farm.push("half")
    wait_until(lambda: farm.states(run)["half", "amd64"] == "built" and process.processes())
    assert farm.json("cancel", run, "half", "--arch", "arm64")["jobs"] == [
        {"package": f"{farm.workspace.org}/half", "arch": "arm64"}
    ]
    process.wait_stopped()
    assert farm.states(run) == {("half", "amd64"): "built", ("half", "arm64"): "cancelled"}
    assert farm.package_states(run) == {"half": "cancelled"}
    assert [tag.rpartition("-")[2] for tag in farm.workspace.tags("half")] == ["amd64"]

    again = farm.json("retry", run, "--detach")["run"]
    wait_until(lambda: farm.states(again)["half", "arm64"] == "building")
    assert farm.states(again)["half", "amd64"] == "exists"
    assert farm.status(again)["retryOf"] == run
    farm.json("cancel", again)


def test_dependents_of_a_cancelled_package_are_cancelled_and_the_rest_continues(farm: Farm) -> None:
    process = slow(farm.workspace, "below")
    farm.workspace.write("above", Dockerfile=needing(farm.workspace, "below"))
    farm.workspace.write("aside")
    run = farm.push("below", "above", "aside")
    process.wait()
    farm.json("cancel", run, "below")
    wait_until(lambda: farm.record(run).state != "open")
    assert farm.package_states(run) == {"below": "cancelled", "above": "cancelled", "aside": "published"}
    answer = farm.run("status", run)
    assert answer.code == 1
    assert f"needs {farm.workspace.org}/below, which was cancelled" in answer.err


def test_retry_includes_the_dependencies_of_what_it_retries(farm: Farm) -> None:
    workspace, org = farm.workspace, farm.workspace.org
    slow(workspace, "lasting")
    workspace.write("broken", Dockerfile=f"{BUSYBOX}RUN false\n")
    workspace.write("needy", Dockerfile=needing(workspace, "broken", "lasting"))
    run = farm.push("broken", "lasting", "needy")
    ended = {"lasting": "building", "broken": "failed", "needy": "failed"}
    wait_until(lambda: farm.package_states(run) == ended)
    refused = farm.run("retry", run, "needy")
    assert refused.code == 1
    assert f"{org}/needy needs {org}/lasting, which is still building in {run}" in refused.err
    farm.json("cancel", run, "lasting")
    again = farm.done("retry", run, "needy", "--detach", "--json")
    for name in ("lasting", "broken"):
        assert f"{org}/{name} is retried too: {org}/needy needs it" in again.err
    new = farm.status(again.json["run"])
    needs = {one["package"].rpartition("/")[2]: one["needs"] for one in new["packages"]}
    assert needs.keys() == {"lasting", "broken", "needy"}
    assert sorted(needs["needy"]) == [f"{org}/broken", f"{org}/lasting"]
    farm.json("cancel", again.json["run"])


def test_workers_of_a_cancelled_run_accept_other_jobs_and_a_run_that_is_done_is_not_retried(
    farm: Farm,
) -> None:
    process = slow(farm.workspace, "hog")
    cancelled = farm.push("hog")
    process.wait()
    farm.json("cancel", cancelled)
    farm.workspace.write("next")
    run = farm.push("next")
    farm.await_run(run, "done")
    assert farm.json("retry", run) == {"run": None, "retryOf": run}


def test_what_does_not_exist_cannot_be_cancelled_or_retried(farm: Farm) -> None:
    """A number alone could mean a run that Redis has lost, so it only gets a suggestion."""
    farm.workspace.write("known")
    run = farm.push("known")
    number = run.partition("-")[0]
    for unknown, hint in (("r999", "`farm status` lists them"), (number, f"did you mean {run}?")):
        for words in ("cancel RUN", "retry RUN", "status RUN", "status -f RUN", "logs RUN known amd64"):
            answer = farm.run(*words.replace("RUN", unknown).split())
            assert answer.code == 1
            assert f"there is no run {unknown} ({hint})" in answer.err
    assert "no package other" in farm.run("cancel", run, "other").err
    nowhere = farm.run("cancel", run, "--arch", "s390x")
    assert "s390x" in nowhere.err
    farm.await_run(run, "done")


def test_status_says_why_something_waits(farm: Farm) -> None:
    process = slow(farm.workspace, "first")
    farm.workspace.write("second")
    farm.workspace.write("third")
    farm.workspace.write("fourth", Dockerfile=needing(farm.workspace, "second"))
    run = farm.push("first")
    wait_until(lambda: process.processes() and set(farm.states(run).values()) == {"building"})
    late = farm.submit("--arches", "amd64,s390x", "--queue-anyway", "second", "third", "fourth")
    wait_until(lambda: farm.states(late)["third", "s390x"] == "queued")
    status = farm.status(late)
    waits = {key: job["waits"] for key, job in jobs_of(status).items()}
    assert waits["second", "amd64"].startswith("next (about ")
    assert waits["third", "amd64"].startswith("behind 1 job (about ")
    assert waits["second", "s390x"] == "no worker for s390x"
    packages = {one["package"].rpartition("/")[2]: one["waits"] for one in status["packages"]}
    assert packages["fourth"] == f"waits for {farm.workspace.org}/second"
    shown = farm.run("status", late).out
    assert "no worker for s390x" in shown
    for name in (run, late):
        farm.json("cancel", name)
