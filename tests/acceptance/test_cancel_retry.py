"""A run is cancelled, entirely or in part, and only what is missing is retried."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.acceptance.test_workers import workers
from tests.support.farm_command import Workspace, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.acceptance.conftest import NewWorkspace

BASE = "ARG REGISTRY\nFROM ${REGISTRY}/library/busybox:1.36\n"
_seconds = itertools.count(3017)


class Farm:
    """Two workers and a publisher, and the commands of a maintainer."""

    def __init__(self, workspace: Workspace, broker: str) -> None:
        self.workspace = workspace
        self.broker = broker

    def done(self, *words: str) -> Any:
        """The JSON of a command, which must succeed."""
        return self.workspace.done(*words, "--json", FARM_BROKER=self.broker).json

    def push(self, *packages: str) -> str:
        """Submit packages for amd64 and arm64; returns the run's name."""
        run: str = self.done("push", "--detach", "--no-sign", "--arches", "amd64,arm64", *packages)["run"]
        return run

    def status(self, run: str) -> Any:
        """A run, whatever the exit code."""
        return self.workspace.farm("status", run, "--json", FARM_BROKER=self.broker).json

    def jobs(self, run: str) -> dict[tuple[str, str], Any]:
        """The jobs of a run by the last part of the package's name and the architecture."""
        return {
            (package["package"].rpartition("/")[2], job["arch"]): job
            for package in self.status(run)["packages"]
            for job in package["jobs"]
        }

    def states(self, run: str) -> dict[tuple[str, str], str]:
        """Their states."""
        return {key: job["state"] for key, job in self.jobs(run).items()}

    def package_states(self, run: str) -> dict[str, str]:
        """The states of a run's packages."""
        return {one["package"].rpartition("/")[2]: one["state"] for one in self.status(run)["packages"]}


@pytest.fixture(scope="module")
def farm(new_workspace: NewWorkspace, module_broker: str) -> Iterator[Farm]:
    """The running farm."""
    workspace = new_workspace()
    with workers(workspace, module_broker, ("amd64", "arm64")):
        yield Farm(workspace, module_broker)


def slow(workspace: Workspace, package: str, *, arch: str = "") -> str:
    """Add a package whose build (on one architecture) sleeps for an hour; returns its command line."""
    seconds = next(_seconds)
    condition = f'test "$(uname -m)" != "{arch}" || ' if arch else ""
    workspace.write(package, Dockerfile=f"{BASE}RUN {condition}sleep {seconds}\n")
    return f"sleep\0{seconds}\0"


def runs_anywhere(words: str) -> bool:
    """Whether a process of this machine, in any container, emulated or not, has these words."""
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if words.encode() in file.read_bytes():
                return True
        except OSError:
            continue
    return False


def test_cancel_stops_running_builds_in_the_engine_and_queued_builds_never_start(farm: Farm) -> None:
    process = slow(farm.workspace, "endless")
    farm.workspace.write("behind", Dockerfile=BASE)
    run = farm.push("endless", "behind")
    wait_until(lambda: runs_anywhere(process))
    done = farm.done("cancel", run)
    assert len(done["packages"]) == 2
    assert len(done["jobs"]) == 4
    wait_until(lambda: not runs_anywhere(process), 20)
    assert farm.status(run)["state"] == "cancelled"
    assert set(farm.states(run).values()) == {"cancelled"}
    assert not any(job["started"] for (name, _), job in farm.jobs(run).items() if name == "behind")
    assert "cancelled by" in farm.jobs(run)["endless", "amd64"]["error"]["message"]
    assert farm.workspace.tags("behind") == []
    assert farm.done("cancel", run) == {"run": run, "packages": [], "jobs": []}


def test_workers_of_a_cancelled_run_accept_other_jobs(farm: Farm) -> None:
    process = slow(farm.workspace, "hog")
    run = farm.push("hog")
    wait_until(lambda: runs_anywhere(process))
    farm.done("cancel", run)
    farm.workspace.write("next", Dockerfile=BASE)
    after = farm.push("next")
    wait_until(lambda: farm.status(after)["state"] == "done")


def test_one_architecture_can_be_cancelled_and_retry_builds_only_that_one(farm: Farm) -> None:
    process = slow(farm.workspace, "half", arch="aarch64")
    run = farm.push("half")
    wait_until(lambda: farm.states(run)["half", "amd64"] == "built" and runs_anywhere(process))
    assert farm.done("cancel", run, "half", "--arch", "arm64")["jobs"] == [
        {"package": f"{farm.workspace.org}/half", "arch": "arm64"}
    ]
    wait_until(lambda: not runs_anywhere(process), 20)
    assert farm.states(run) == {("half", "amd64"): "built", ("half", "arm64"): "cancelled"}
    assert farm.package_states(run) == {"half": "cancelled"}
    assert [tag.rpartition("-")[2] for tag in farm.workspace.tags("half")] == ["amd64"]

    again = farm.done("retry", run, "--detach")["run"]
    wait_until(lambda: farm.states(again)["half", "arm64"] == "building")
    assert farm.states(again)["half", "amd64"] == "exists"
    assert farm.status(again)["retryOf"] == run
    farm.done("cancel", again)


def test_dependents_of_a_cancelled_package_are_cancelled_and_the_rest_continues(farm: Farm) -> None:
    process = slow(farm.workspace, "below")
    tag = farm.workspace.reference("below").rpartition(":")[2]
    farm.workspace.write("above", Dockerfile=f"ARG ORG\nFROM ${{ORG}}/below:{tag}\n")
    farm.workspace.write("aside", Dockerfile=BASE)
    run = farm.push("below", "above", "aside")
    wait_until(lambda: runs_anywhere(process))
    farm.done("cancel", run, "below")
    wait_until(lambda: farm.status(run)["state"] != "open")
    assert farm.package_states(run) == {"below": "cancelled", "above": "cancelled", "aside": "published"}
    answer = farm.workspace.farm("status", run, FARM_BROKER=farm.broker)
    assert answer.code == 1
    assert f"needs {farm.workspace.org}/below, which was cancelled" in answer.err


def needing(workspace: Workspace, *packages: str) -> str:
    """A Dockerfile that is built FROM the present tags of these packages."""
    tags = {name: workspace.reference(name).rpartition(":")[2] for name in packages}
    return "ARG ORG\n" + "".join(f"FROM ${{ORG}}/{name}:{tag}\n" for name, tag in tags.items())


def test_retry_includes_the_dependencies_of_what_it_retries(farm: Farm) -> None:
    workspace, org = farm.workspace, farm.workspace.org
    slow(workspace, "lasting")
    workspace.write("broken", Dockerfile=f"{BASE}RUN false\n")
    workspace.write("needy", Dockerfile=needing(workspace, "broken", "lasting"))
    run = farm.push("broken", "lasting", "needy")
    ended = {"lasting": "building", "broken": "failed", "needy": "failed"}
    wait_until(lambda: farm.package_states(run) == ended)
    refused = workspace.farm("retry", run, "needy", FARM_BROKER=farm.broker)
    assert refused.code == 1
    assert f"{org}/needy needs {org}/lasting, which is still building in {run}" in refused.err
    farm.done("cancel", run, "lasting")
    again = workspace.done("retry", run, "needy", "--detach", "--json", FARM_BROKER=farm.broker)
    for name in ("lasting", "broken"):
        assert f"{org}/{name} is retried too: {org}/needy needs it" in again.err
    new = farm.status(again.json["run"])
    needs = {one["package"].rpartition("/")[2]: one["needs"] for one in new["packages"]}
    assert needs.keys() == {"lasting", "broken", "needy"}
    assert sorted(needs["needy"]) == [f"{org}/broken", f"{org}/lasting"]
    farm.done("cancel", again.json["run"])


def test_retry_of_a_run_that_is_done_does_nothing(farm: Farm) -> None:
    farm.workspace.write("well", Dockerfile=BASE)
    run = farm.push("well")
    wait_until(lambda: farm.status(run)["state"] == "done")
    assert farm.done("retry", run) == {"run": None, "retryOf": run}


def test_what_does_not_exist_cannot_be_cancelled_or_retried(farm: Farm) -> None:
    for words in (("cancel", "r999"), ("retry", "r999")):
        answer = farm.workspace.farm(*words, FARM_BROKER=farm.broker)
        assert answer.code == 1
        assert "there is no run r999" in answer.err
    farm.workspace.write("known", Dockerfile=BASE)
    run = farm.push("known")
    assert "no package other" in farm.workspace.farm("cancel", run, "other", FARM_BROKER=farm.broker).err
    nowhere = farm.workspace.farm("cancel", run, "--arch", "s390x", FARM_BROKER=farm.broker)
    assert "s390x" in nowhere.err
    wait_until(lambda: farm.status(run)["state"] == "done")


def test_status_says_why_something_waits(farm: Farm) -> None:
    process = slow(farm.workspace, "first")
    farm.workspace.write("second", Dockerfile=BASE)
    farm.workspace.write("third", Dockerfile=BASE)
    tag = farm.workspace.reference("second").rpartition(":")[2]
    farm.workspace.write("fourth", Dockerfile=f"ARG ORG\nFROM ${{ORG}}/second:{tag}\n")
    run = farm.push("first")
    wait_until(lambda: runs_anywhere(process) and set(farm.states(run).values()) == {"building"})
    late = farm.done(
        "push",
        "--detach",
        "--no-sign",
        "--arches",
        "amd64,s390x",
        "--queue-anyway",
        "second",
        "third",
        "fourth",
    )["run"]
    wait_until(lambda: farm.states(late)["third", "s390x"] == "queued")
    waits = {key: job["waits"] for key, job in farm.jobs(late).items()}
    assert waits["second", "amd64"].startswith("next (about ")
    assert waits["third", "amd64"].startswith("behind 1 job (about ")
    assert waits["second", "s390x"] == "no worker for s390x"
    packages = {one["package"].rpartition("/")[2]: one["waits"] for one in farm.status(late)["packages"]}
    assert packages["fourth"] == f"waits for {farm.workspace.org}/second"
    shown = farm.workspace.farm("status", late, FARM_BROKER=farm.broker).out
    assert "no worker for s390x" in shown
    for name in (run, late):
        farm.done("cancel", name)
