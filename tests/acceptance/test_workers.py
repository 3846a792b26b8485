"""A farm of separate workers, each of which consumes only the queue of its architecture."""

from __future__ import annotations

import os
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from urllib3.exceptions import HTTPError

from farm.settings import Secret
from farm.state.store import Store
from lab.process import free_port
from tests.acceptance.conftest import NewWorkspace, add_examples
from tests.support.farm_command import BUSYBOX, wait_until
from tests.support.http import send
from tests.support.remote_farm import RemoteFarm, Sleep, add_users, end, ended

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator

    from tests.support.farm_command import Workspace

    Serving = tuple[RemoteFarm, dict[str, subprocess.Popen[str]]]

ARCHES = ("amd64", "arm64", "s390x")
ONE_ARCH = "image: big\narches: [amd64]\n"
PACKAGES = ("hello", "motd", "greeter")


@pytest.fixture(scope="module")
def serving(new_workspace: NewWorkspace, module_broker: str) -> Iterator[Serving]:
    """A farm with a worker for each architecture and a publisher, and their processes."""
    with (
        closing(RemoteFarm(new_workspace(), module_broker)) as farm,
        farm.serving(*ARCHES) as processes,
    ):
        yield farm, processes


def test_three_workers_build_each_its_own_architecture_and_one_publishes(serving: Serving) -> None:
    farm, _ = serving
    add_examples(farm.workspace)
    farm.workspace.done("trust", "init", *PACKAGES)
    run = farm.done("push", "--json", *PACKAGES).json
    status = farm.done("status", run["run"], "--json").json
    assert run["state"] == status["state"] == "done"
    jobs = [job for package in run["packages"] for job in package["jobs"]]
    assert len(jobs) == len(PACKAGES) * len(ARCHES)
    assert {(job["arch"], job["worker"], job["state"]) for job in jobs} == {
        (arch, f"{arch}@test", "built") for arch in ARCHES
    }


def test_flower_shows_workers_queues_and_tasks_as_a_user_who_can_only_watch(serving: Serving) -> None:
    farm, processes = serving
    url, login = f"http://127.0.0.1:{free_port()}", ("farm", "flower-pass-9d2")
    own = {"FARM_FLOWER_PORT": url.rpartition(":")[2], "FARM_FLOWER_PASSWORD": login[1]}

    def page(path: str) -> str:
        try:
            return send("GET", url + path, login=login).data.decode()
        except HTTPError:
            return ""

    flower = farm.workspace.start("flower", FARM_BROKER=farm.broker_of("flower"), **own)
    try:
        wait_until(lambda: all(f"{name}@test" in page("/api/workers?refresh=1") for name in processes))
        farm.workspace.write("seen", Dockerfile=f"{BUSYBOX}RUN uname -m\n")
        farm.done("push", "--no-sign", "seen")
        wait_until(lambda: page("/api/tasks").count("SUCCESS") >= len(processes))
        assert "build.arm64" in page("/broker")
        assert "Max concurrency" in page("/worker/arm64@test")
    finally:
        end(flower)


def test_a_process_with_the_user_of_another_role_says_so_and_does_nothing(
    workspace: Workspace, broker: str
) -> None:
    with closing(Store(Secret(broker))) as store:
        users = add_users(store, broker)
    for words in (["worker", "--arch", "amd64"], ["worker", "--publish"], ["status"]):
        answer = workspace.farm(*words, FARM_BROKER=users["worker-arm64"])
        assert (answer.code, "Redis refuses a command" in answer.err) == (4, True), (words, answer.err)
    doctor = workspace.farm("doctor", "--no-sign", "--json", FARM_BROKER=users["worker-arm64"]).json
    (found,) = [part["found"] for part in doctor if part["part"] == "broker"]
    assert "as worker-arm64." in found


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


def test_two_maintainers_who_push_the_same_tree_share_one_build(serving: Serving) -> None:
    (farm, _), building = serving, Sleep()
    slow = f"{BUSYBOX}RUN {building.command}; date +%N > /stamp\n"
    farm.workspace.write("shared", Dockerfile=slow, build_yml=ONE_ARCH.replace("big", "shared"))
    before = farm.runs()
    states = [farm.workspace.variables["FARM_STATE_DIR"] + number for number in "12"]
    both = [
        farm.workspace.start(
            "push", "--no-sign", "shared", FARM_BROKER=farm.broker_of(), FARM_STATE_DIR=state
        )
        for state in states
    ]
    wait_until(lambda: len(farm.runs()) == len(before) + len(both))
    building.finish()
    for process in both:
        ended(process, 60)
    runs = set(farm.runs()) - set(before)
    assert sorted(state for run in runs for state in farm.states(run).values()) == ["built", "exists"]


def peaks(process: subprocess.Popen[str]) -> list[int]:
    """The maximum memory of a process and of each of its children, in KiB."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    status = [Path(f"/proc/{pid}/status").read_text() for pid in (process.pid, *children)]
    return [int(text.partition("VmHWM:")[2].split()[0]) for text in status]


def test_a_worker_builds_a_package_of_260_mb_in_less_than_200_mb_of_memory(serving: Serving) -> None:
    """64 MiB of it pass through Redis with the build context; the build generates the rest."""
    (farm, processes), more = serving, "RUN yes | head -c 200000000 > /text\n"
    farm.workspace.write("big", Dockerfile=f"{BUSYBOX}COPY noise /noise\n{more}", build_yml=ONE_ARCH)
    (farm.workspace.directory / "big" / "noise").write_bytes(os.urandom(64 << 20))
    farm.workspace.commit()
    farm.done("push", "--no-sign", "big")
    taken = [kib for name in ("amd64", "publish") for kib in peaks(processes[name])]
    image = farm.done("inspect", f"{farm.workspace.reference('big')}-amd64", "--json").json["images"][0]
    assert sum(layer["size"] for layer in image["layers"]) > 64 << 20
    assert len(taken) >= 4
    assert max(taken) < 200 << 10


def test_a_push_is_refused_when_no_worker_serves_an_architecture_and_so_is_its_plan(
    workspace: Workspace, broker: str
) -> None:
    workspace.write("lonely", Dockerfile="FROM scratch\n")
    answer = workspace.farm("push", "--no-sign", "lonely", FARM_BROKER=broker)
    assert answer.code == 3
    assert "no worker for amd64, arm64, publish, s390x" in answer.err or "no worker for amd64" in answer.err
    plan = workspace.farm("plan", "--no-sign", "lonely", FARM_BROKER=broker)
    assert (plan.code, plan.err) == (answer.code, answer.err)
    workspace.done("plan", "--no-sign", "--queue-anyway", "lonely", FARM_BROKER=broker)
    assert workspace.done("status", "--json", FARM_BROKER=broker).json == []
    assert workspace.repositories() == []
