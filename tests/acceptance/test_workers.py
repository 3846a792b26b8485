"""A farm of separate workers, each of which consumes only the queue of its architecture."""

from __future__ import annotations

import os
import signal
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.acceptance.conftest import add_examples
from tests.support.farm_command import Workspace, wait_until

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator

    from tests.acceptance.conftest import NewWorkspace

ARCHES = ("amd64", "arm64", "s390x")
FROM_BUSYBOX = "ARG REGISTRY\nFROM ${REGISTRY}/library/busybox:1.36\n"
ONE_ARCH = "image: big\narches: [amd64]\n"
PACKAGES = ("hello", "motd", "greeter")


@contextmanager
def workers(
    workspace: Workspace, broker: str, arches: tuple[str, ...]
) -> Iterator[dict[str, subprocess.Popen[str]]]:
    """A worker for each architecture and a publisher, all up; stopped by SIGTERM afterwards."""
    started = {
        arch: workspace.start(
            "worker", "--arch", arch, "--emulate", "--name", f"{arch}@test", FARM_BROKER=broker
        )
        for arch in arches
    }
    started["publish"] = workspace.start("worker", "--publish", "--name", "publish@test", FARM_BROKER=broker)
    try:
        wait_until(lambda: len(workspace.done("workers", "--json", FARM_BROKER=broker).json) == len(started))
        yield started
        for process in started.values():
            process.send_signal(signal.SIGTERM)
        endings = {
            name: (process.communicate(timeout=60)[0], process.returncode)
            for name, process in started.items()
        }
        assert all(code == 0 for _, code in endings.values()), endings
    finally:
        # After a failure a build of an hour may be in progress.
        for process in started.values():
            process.kill()
            process.communicate()


@pytest.fixture(scope="module")
def started(new_workspace: NewWorkspace, module_broker: str) -> Iterator[dict[str, subprocess.Popen[str]]]:
    """A worker for each architecture and a publisher."""
    with workers(new_workspace(), module_broker, ARCHES) as started:
        yield started


@pytest.mark.usefixtures("started")
def test_three_workers_build_each_its_own_architecture_and_one_publishes(
    workspace: Workspace, module_broker: str
) -> None:
    add_examples(workspace)
    workspace.done("trust", "init", *PACKAGES)
    run = workspace.done("push", "--json", *PACKAGES, FARM_BROKER=module_broker).json
    status = workspace.done("status", run["run"], "--json", FARM_BROKER=module_broker).json
    assert run["state"] == status["state"] == "done"
    jobs = [job for package in run["packages"] for job in package["jobs"]]
    assert len(jobs) == len(PACKAGES) * len(ARCHES)
    assert {(job["arch"], job["worker"], job["state"]) for job in jobs} == {
        (arch, f"{arch}@test", "built") for arch in ARCHES
    }


def test_a_worker_refuses_a_foreign_architecture_unless_emulation_is_allowed(
    workspace: Workspace, broker: str
) -> None:
    answer = workspace.farm("worker", "--arch", "s390x", FARM_BROKER=broker, FARM_EMULATE="false")
    assert answer.code == 2
    assert "could only emulate s390x" in answer.err
    assert "--emulate" in answer.err


def test_a_worker_reports_what_it_lacks(workspace: Workspace, broker: str) -> None:
    nobody = workspace.farm("worker")
    assert (nobody.code, "FARM_BROKER" in nobody.err) == (2, True)
    no_key = workspace.farm("worker", "--publish", FARM_BROKER=broker, FARM_SIGNING_KEY="/no/such/key.pem")
    assert (no_key.code, "/no/such/key.pem" in no_key.err) == (4, True)
    engine = workspace.farm("worker", FARM_BROKER=broker, FARM_ENGINE="unix:///no/such/engine.sock")
    assert (engine.code, "/no/such/engine.sock" in engine.err) == (3, True)


@pytest.mark.usefixtures("started")
def test_two_maintainers_who_push_the_same_tree_share_one_build(
    workspace: Workspace, module_broker: str
) -> None:
    slow = f"{FROM_BUSYBOX}RUN sleep 3; date +%N > /stamp\n"
    workspace.write("shared", Dockerfile=slow, build_yml=ONE_ARCH.replace("big", "shared"))
    broker = {"FARM_BROKER": module_broker}
    both = [
        workspace.start("push", "--no-sign", "--json", "shared", **broker, FARM_STATE_DIR=state)
        for state in (workspace.variables["FARM_STATE_DIR"], workspace.variables["FARM_STATE_DIR"] + "2")
    ]
    answers = [(process.communicate(timeout=100)[0], process.returncode) for process in both]
    assert [code for _, code in answers] == [0, 0], answers
    newest = workspace.done("status", "--json", **broker).json[:2]
    runs = [workspace.done("status", run["run"], "--json", **broker).json for run in newest]
    assert sorted(run["packages"][0]["jobs"][0]["state"] for run in runs) == ["built", "exists"]


def peaks(process: subprocess.Popen[str]) -> list[int]:
    """The maximum memory of a process and of each of its children, in KiB."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    status = [Path(f"/proc/{pid}/status").read_text() for pid in (process.pid, *children)]
    return [int(text.partition("VmHWM:")[2].split()[0]) for text in status]


def test_a_worker_builds_a_package_of_260_mb_in_less_than_200_mb_of_memory(
    workspace: Workspace, module_broker: str, started: dict[str, subprocess.Popen[str]]
) -> None:
    """64 MiB of it pass through Redis with the build context; the build generates the rest."""
    more = "RUN yes | head -c 200000000 > /text\n"
    workspace.write("big", Dockerfile=f"{FROM_BUSYBOX}COPY noise /noise\n{more}", build_yml=ONE_ARCH)
    (workspace.directory / "big" / "noise").write_bytes(os.urandom(64 << 20))
    workspace.commit()
    workspace.done("push", "--no-sign", "big", FARM_BROKER=module_broker)
    taken = [kib for name in ("amd64", "publish") for kib in peaks(started[name])]
    image = workspace.done("inspect", f"{workspace.reference('big')}-amd64", "--json").json["images"][0]
    assert sum(layer["size"] for layer in image["layers"]) > 64 << 20
    assert len(taken) >= 4
    assert max(taken) < 200 << 10


def test_a_push_is_refused_when_no_worker_serves_an_architecture(workspace: Workspace, broker: str) -> None:
    workspace.write("lonely", Dockerfile="FROM scratch\n")
    answer = workspace.farm("push", "--no-sign", "lonely", FARM_BROKER=broker)
    assert answer.code == 3
    assert "no worker for amd64, arm64, publish, s390x" in answer.err or "no worker for amd64" in answer.err
    assert workspace.done("status", "--json", FARM_BROKER=broker).json == []
    assert workspace.repositories() == []
