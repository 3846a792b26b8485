"""The life of a worker: listed, drained, resumed, stopped by one or two signals, and reconnected."""

from __future__ import annotations

import json
import os
import platform
import signal
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pexpect
import pytest

from farm.model import digest_of
from farm.model.order import Order
from farm.model.run import canonical
from farm.state.run_handles import RunHandle
from farm.state.runs import read_order, read_run
from farm.trust.ssh_signatures import sign
from tests.acceptance.conftest import new_database
from tests.support.engines import another_engine
from tests.support.farm_command import BUSYBOX, FARM, Workspace, read_until, wait_until
from tests.support.remote_farm import RemoteFarm, Sleep, end, ended

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lab.lab import Lab
    from tests.acceptance.conftest import NewWorkspace


class Farm(RemoteFarm):
    """Workers for amd64, and runs of one or more packages for it."""

    def add(self, package: str, command: str) -> None:
        """Add a package whose build runs a command."""
        self.workspace.write(package, Dockerfile=f"{BUSYBOX}RUN {command}\n", arches="amd64")

    def push(self, package: str, command: str) -> str:
        """Add a package whose build runs a command, and submit it; returns the run's name."""
        self.add(package, command)
        return self.submit("--queue-anyway", package)

    def jobs(self, run: str) -> list[dict[str, Any]]:
        """The jobs of a run, one for each package."""
        packages = self.record(run).packages.values()
        return [job.to_json() for package in packages for job in package.jobs.values()]

    def job(self, run: str) -> dict[str, Any]:
        """The one job of a run."""
        return self.jobs(run)[0]

    def landed(self, run: str) -> int:
        """How many images of a run are in the registry."""
        return sum(state.succeeded for state in self.states(run).values())

    def await_job(self, run: str, state: str) -> dict[str, Any]:
        """Wait until the one job of a run is in a state; returns the job."""
        return dict(wait_until(lambda: (job := self.job(run))["state"] == state and job, 90))

    def worker_state(self, name: str) -> str:
        """The state of a worker, "" if there is none."""
        return self.worker_states().get(name, "")


@pytest.fixture
def farm(workspace: Workspace, broker: str) -> Iterator[Farm]:
    """A farm of one test."""
    with closing(Farm(workspace, broker)) as farm:
        yield farm


@pytest.fixture(scope="module")
def standby(new_workspace: NewWorkspace, module_broker: str) -> Iterator[Farm]:
    """A farm with the worker b@test, which is drained."""
    with closing(Farm(new_workspace(), module_broker)) as farm, farm.worker("b@test"):
        farm.done("workers", "drain", "b@test")
        yield farm


@pytest.fixture(scope="module", autouse=True)
def full(lab: Lab, new_workspace: NewWorkspace) -> Iterator[tuple[Farm, str]]:
    """A farm whose worker has a full disk, and a run, which ends after the pauses between its attempts.

    It starts with the first test, so that they pass meanwhile.
    """
    with (
        closing(Farm(new_workspace(), new_database(lab))) as farm,
        farm.worker("a@test", FARM_DISK_FREE="900TiB"),
    ):
        yield farm, farm.push("big", "true")


def alive(number: str) -> bool:
    """Whether a process runs; one that only waits to be reaped does not."""
    try:
        return Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_workers_lists_what_each_is_and_does_on_a_terminal_as_a_table(farm: Farm) -> None:
    names = ("own@test", "s390x@test")
    environment = farm.workspace.environment(FARM_BROKER=farm.broker_of(), TERM="xterm", COLUMNS="120")
    with farm.worker(names[0]), farm.worker(names[1], "--arch", "s390x", "--emulate"):
        run = farm.push("busy", Sleep().command)
        farm.await_job(run, "building")
        wait_until(lambda: any(map(farm.is_busy, names)))
        listed = farm.workers().values()
        busy = next(worker for worker in listed if worker["jobs"])
        other = next(worker for worker in listed if worker["name"] != busy["name"])
        lines = farm.done("workers").out.splitlines()
        screen = pexpect.run(f"{FARM} workers", env=environment, encoding="utf-8", timeout=30)
        farm.done("cancel", run)
        wait_until(lambda: not farm.is_busy(busy["name"]))
    (job,) = busy["jobs"]
    assert (job["run"], job["package"].rpartition("/")[2], job["arch"]) == (run, "busy", "amd64")
    assert (busy["slots"], busy["free"], busy["state"]) == (1, 0, "up")
    assert (other["free"], other["jobs"], other["host"]) == (1, [], platform.node())
    assert busy["engine"][0].isdigit()
    assert len(lines) == 2
    assert f"{run} " in "\n".join(lines)
    assert "s390x (emulated)" in "\n".join(lines)
    assert all(word in screen for word in ("works on", *names))


def test_a_drained_worker_finishes_its_job_accepts_no_other_and_stays_drained_after_a_restart(
    farm: Farm,
) -> None:
    with farm.worker("a@test") as process:
        first = farm.push("first", (building := Sleep()).command)
        farm.await_job(first, "building")
        farm.done("workers", "drain", "a@test")
        assert farm.worker_state("a@test") == "draining"
        second = farm.push("second", "true")
        waiting = farm.workspace.start("workers", "drain", "a@test", "--wait", FARM_BROKER=farm.broker_of())
        building.finish()
        assert "drained" in ended(waiting, 60)
        assert (farm.job(first)["state"], farm.job(first)["lost"]) == ("built", 0)
        assert farm.worker_state("a@test") == "drained"
        process.send_signal(signal.SIGTERM)
        ended(process, 30)
    with farm.worker("a@test"):
        assert farm.worker_state("a@test") == "drained"
        refused = farm.run("push", "--no-sign", "--force", "second")
        assert (refused.code, "amd64" in refused.err) == (3, True)
        assert (farm.job(second)["state"], farm.job(second)["worker"]) == ("queued", None)
        farm.done("workers", "resume", "a@test")
        farm.await_job(second, "built")
        assert farm.job(second)["lost"] == 0


def test_no_job_is_lost_when_workers_start_stop_and_are_drained(farm: Farm) -> None:
    """There is no publisher, and so no reconciler: a lost job would stay lost."""
    names = [f"p{number}" for number in range(14)]
    for name in names:
        farm.add(name, "sleep 1")
    run = farm.submit("--queue-anyway", *names)
    with farm.worker("b@test"):
        for number in range(4):
            with farm.worker("a@test") as process:
                wait_until(lambda: farm.is_busy("a@test") or farm.landed(run) == len(names))
                farm.done("workers", "resume" if number % 2 else "drain", "b@test")
                process.send_signal(signal.SIGQUIT if number % 2 else signal.SIGTERM)
                ended(process, 60)
        wait_until(lambda: farm.landed(run) == len(names), 90)
    assert {job["lost"] for job in farm.jobs(run)} == {0}


def test_a_job_that_a_worker_cannot_read_is_rejected_and_does_not_stop_it(farm: Farm) -> None:
    """The worker reports why, and goes on; the job is queued until it is sent again, to a newer worker."""
    run = farm.push("new", "true")
    handle = RunHandle(farm.store, run)
    (package,) = read_run(handle).packages
    _order_with(farm, handle, package, sandbox=True)
    with farm.worker("old@test"):
        wait_until(lambda: "too old" in (farm.workers()["old@test"]["trouble"] or ""))
        assert farm.workers()["old@test"]["release"]
        assert farm.job(run)["state"] == "queued"
        later = farm.push("later", "true")
        assert farm.await_job(later, "built")["worker"] == "old@test"
        assert (farm.job(run)["state"], farm.job(run)["lost"]) == ("queued", 0)


def _order_with(farm: Farm, run: RunHandle, package: str, **fields: object) -> None:
    """Let the maintainer of the lab sign an order whose jobs have fields of a newer release."""
    signed, (part,) = read_order(run, [package])
    work = json.loads(part)
    work["jobs"] = [{**job, **fields} for job in work["jobs"]]
    newer = canonical(work)
    order = replace(Order.from_bytes(signed.document), parts={package: digest_of(newer)}).to_bytes()
    signature = sign(order, farm.workspace.lab.identity.order_key, timeout=30)
    stored: list[str | bytes] = ["document", order, "signature", signature]
    run.store.binary.hset(run.key("order"), items=stored)
    run.store.binary.hset(run.key("works"), package, newer)


def test_drain_of_an_unknown_worker_is_refused(farm: Farm) -> None:
    answer = farm.run("workers", "drain", "nobody@test")
    assert (answer.code, "there is no worker nobody@test" in answer.err) == (1, True)


def test_after_one_sigterm_a_worker_finishes_its_job_and_accepts_no_other(farm: Farm) -> None:
    with farm.worker("a@test") as process:
        first = farm.push("first", (building := Sleep()).command)
        farm.await_job(first, "building")
        process.send_signal(signal.SIGTERM)
        second = farm.push("second", "true")
        farm.await_worker("a@test", "leaving")
        building.finish()
        ended(process, 60)
        assert (farm.job(first)["state"], farm.job(second)["state"]) == ("built", "queued")
        assert farm.worker_states() == {}


@pytest.mark.parametrize(
    "signals",
    [(signal.SIGTERM, signal.SIGTERM), (signal.SIGINT, signal.SIGINT), (signal.SIGQUIT,)],
    ids=["SIGTERM twice", "SIGINT twice", "SIGQUIT"],
)
def test_after_two_sigterms_a_worker_stops_its_build_and_returns_the_job(
    standby: Farm, signals: tuple[signal.Signals, ...]
) -> None:
    building = Sleep()
    with standby.worker("a@test") as process:
        run = standby.push("long", building.command)
        standby.await_job(run, "building")
        building.wait()
        for number in signals:
            process.send_signal(number)
            # Two pending signals of one kind are delivered once.
            wait_until(lambda: process.poll() is not None or standby.worker_state("a@test") == "leaving")
        ended(process, 15)
        assert not building.processes()
        job = standby.job(run)
        assert (job["state"], job["lost"]) == ("queued", 0)
    standby.done("workers", "resume", "b@test")
    # The lease lives for 30 s: it was released, or this would take longer.
    taken = wait_until(lambda: (job := standby.job(run))["worker"] == "b@test" and job, 15)
    assert taken["lost"] == 0
    standby.done("cancel", run)
    standby.done("workers", "drain", "b@test", "--wait")
    building.wait_stopped()


def test_after_two_sigterms_a_worker_ends_soon_even_if_its_build_does_not(farm: Farm) -> None:
    with farm.worker("a@test") as process:
        run = farm.push("stuck", Sleep().command)
        farm.await_job(run, "building")
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        for child in children:
            os.kill(int(child), signal.SIGSTOP)
        process.send_signal(signal.SIGQUIT)
        process.communicate(timeout=40)
        assert process.returncode == 1
        wait_until(lambda: not any(alive(child) for child in children))
    assert farm.worker_states() == {}
    farm.done("cancel", run)


def test_a_worker_that_hangs_or_was_killed_is_silent_and_not_counted_on(farm: Farm) -> None:
    nobody = farm.run("worker", "--check")
    assert (nobody.code, "no worker of this machine is up" in nobody.err) == (3, True)
    with farm.worker("hangs@test") as hangs, farm.worker("killed@test") as killed:
        assert farm.done("worker", "--check").out == "hangs@test: up\nkilled@test: up\n"
        # A process that hangs is not alive, although it exists.
        hangs.send_signal(signal.SIGSTOP)
        end(killed)
        for name in ("hangs@test", "killed@test"):
            farm.await_worker(name, "silent")
            check = farm.run("worker", "--check", "--name", name)
            assert (check.code, f"{name} missed its heartbeats" in check.err) == (3, True)
        farm.add("late", "true")
        refused = farm.run("push", "--no-sign", "late")
        assert (refused.code, "amd64" in refused.err) == (3, True)
        hangs.send_signal(signal.SIGCONT)
        farm.await_worker("hangs@test", "up")
        farm.done("worker", "--check", "--name", "hangs@test")


def test_a_worker_with_a_full_disk_reports_it_and_refuses_jobs_for_that_reason(
    full: tuple[Farm, str],
) -> None:
    farm, run = full
    assert "disk full" in str(farm.workers()["a@test"]["trouble"])
    assert "disk full" in farm.done("workers").out
    job = farm.await_job(run, "failed")
    assert job["error"]["kind"] == "DiskFullError"
    assert "900 TiB required" in job["error"]["message"]


def test_a_worker_survives_a_restart_of_redis_with_and_without_a_build_in_progress(farm: Farm) -> None:
    redis = farm.workspace.lab.services["redis"]
    with farm.worker("a@test"):
        run = farm.push("slow", (building := Sleep()).command)
        farm.await_job(run, "building")
        redis.stop()
        redis.start()
        building.finish()
        job = farm.await_job(run, "built")
        assert (job["worker"], job["lost"]) == ("a@test", 0)
        farm.done("workers", "drain", "a@test")
        redis.stop()
        redis.start()
        later = farm.push("later", "true")
        farm.await_worker("a@test", "drained")
        assert farm.job(later)["state"] == "queued"
        farm.done("workers", "resume", "a@test")
        assert farm.await_job(later, "built")["lost"] == 0


def test_a_worker_stops_on_a_signal_while_redis_is_away(farm: Farm) -> None:
    redis = farm.workspace.lab.services["redis"]
    with farm.worker("a@test") as process:
        redis.stop()
        try:
            process.send_signal(signal.SIGTERM)
            ended(process, 60)
        finally:
            redis.start()


def test_a_worker_that_starts_before_redis_waits_for_it(farm: Farm) -> None:
    redis = farm.workspace.lab.services["redis"]
    redis.stop()
    process = farm.start("a@test", "--arch", "amd64")
    try:
        read_until(process, "trying again in")
    finally:
        redis.start()
    try:
        read_until(process, "a@test ready")
        farm.await_worker("a@test", "up")
    finally:
        process.send_signal(signal.SIGTERM)
        ended(process, 30)


def test_a_worker_survives_a_restart_of_the_registry(farm: Farm) -> None:
    registry = farm.workspace.lab.services["registry"]
    with farm.worker("a@test"):
        farm.await_job(farm.push("before", "true"), "built")
        run = farm.push("during", (building := Sleep()).command)
        farm.await_job(run, "building")
        registry.stop()
        registry.start()
        building.finish()
        farm.await_job(run, "built")
        farm.await_job(farm.push("after", "true"), "built")


def test_a_worker_survives_a_restart_of_its_engine(farm: Farm) -> None:
    with another_engine() as engine, farm.worker("a@test", FARM_ENGINE=engine.address):
        farm.await_job(farm.push("before", "true"), "built")
        engine.service.stop()
        engine.service.start()
        assert farm.await_job(farm.push("after", "true"), "built")["lost"] == 0
