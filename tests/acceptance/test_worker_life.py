"""The life of a worker: listed, drained, resumed, stopped by one or two signals, and reconnected."""

from __future__ import annotations

import itertools
import os
import platform
import signal
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pexpect
import pytest

from farm.settings import Secret
from farm.state.run_handles import RunHandle
from farm.state.runs import read_run
from farm.state.store import Store
from farm.state.workers import WorkerState, known_workers
from tests.support.engines import another_engine
from tests.support.farm_command import FARM, Workspace, read_until, wait_until

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator

    from farm.model import JobState

BASE = "ARG REGISTRY\nFROM ${REGISTRY}/library/busybox:1.36\n"
_seconds = itertools.count(7013)


class Farm:
    """Workers for amd64 only, and the commands of maintainers and operators."""

    def __init__(self, workspace: Workspace, broker: str) -> None:
        self.workspace = workspace
        self.broker = broker
        self.store = Store(Secret(broker))

    def run(self, *words: str) -> Any:
        """How a command ended."""
        return self.workspace.farm(*words, FARM_BROKER=self.broker)

    def done(self, *words: str) -> Any:
        """A command that must succeed."""
        return self.workspace.done(*words, FARM_BROKER=self.broker)

    def start(self, name: str, *words: str, **variables: str) -> subprocess.Popen[str]:
        """Start a worker, and return at once."""
        words = ("worker", "--arch", "amd64", "--name", name, *words)
        return self.workspace.start(*words, FARM_BROKER=self.broker, **variables)

    @contextmanager
    def worker(self, name: str, *words: str, **variables: str) -> Iterator[subprocess.Popen[str]]:
        """A worker that is up; killed at the end if it still runs."""
        process = self.start(name, *words, **variables)
        try:
            self.await_worker(name, *(set(WorkerState) - {"silent"}))
            yield process
        finally:
            end(process)

    def workers(self) -> dict[str, Any]:
        """The workers by name."""
        return {worker["name"]: worker for worker in self.done("workers", "--json").json}

    def worker_state(self, name: str) -> str:
        """The state of a worker, "" if there is none."""
        return str(self.workers().get(name, {}).get("state", ""))

    def push(self, package: str, command: str) -> str:
        """Add a package whose build runs a command, and submit it; returns the run's name."""
        self.workspace.write(
            package, Dockerfile=f"{BASE}RUN {command}\n", build_yml=f"image: {package}\narches: [amd64]\n"
        )
        words = ("push", "--detach", "--no-sign", "--queue-anyway", "--json", package)
        return str(self.done(*words).json["run"])

    def jobs(self, run: str) -> list[Any]:
        """The jobs of a run, one for each package."""
        return [one["jobs"][0] for one in self.run("status", run, "--json").json["packages"]]

    def job(self, run: str) -> Any:
        """The one job of a run."""
        return self.jobs(run)[0]

    def states(self, run: str) -> list[JobState]:
        """The states of a run's jobs, read from Redis, which is faster than a command."""
        packages = read_run(RunHandle(self.store, run)).packages.values()
        return [job.state for package in packages for job in package.jobs.values()]

    def landed(self, run: str) -> int:
        """How many images of a run are in the registry."""
        return sum(state.succeeded for state in self.states(run))

    def await_job(self, run: str, state: str) -> Any:
        """Wait until the one job of a run is in a state; returns the job."""
        wait_until(lambda: self.states(run) == [state], 90)
        return self.job(run)

    def is_busy(self, name: str) -> bool:
        """Whether a worker works on a job."""
        return any(one.name == name and one.jobs for one in known_workers(self.store))

    def await_worker(self, name: str, *states: str) -> None:
        """Wait until a worker is in one of these states."""
        wait_until(lambda: any(one.name == name and one.state in states for one in known_workers(self.store)))


@pytest.fixture
def farm(workspace: Workspace, broker: str) -> Iterator[Farm]:
    """The running farm."""
    farm = Farm(workspace, broker)
    yield farm
    farm.store.close()


def runs_anywhere(words: str) -> bool:
    """Whether a process of this machine, in any container, has these words."""
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if words.encode() in file.read_bytes():
                return True
        except OSError:
            continue
    return False


def alive(number: str) -> bool:
    """Whether a process runs; one that only waits to be reaped does not."""
    try:
        return Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def end(process: subprocess.Popen[str]) -> None:
    """Kill a process, if it is still there."""
    process.kill()
    process.wait()
    if process.stdout:
        process.stdout.close()


def ended(process: subprocess.Popen[str], seconds: float) -> str:
    """The output of a process, which must succeed within that time."""
    printed, _ = process.communicate(timeout=seconds)
    assert process.returncode == 0, printed
    return printed


def test_workers_lists_what_each_is_and_does(farm: Farm) -> None:
    names = ("own@test", "s390x@test")
    with farm.worker(names[0]), farm.worker(names[1], "--arch", "s390x", "--emulate"):
        run = farm.push("busy", "sleep 3600")
        farm.await_job(run, "building")
        wait_until(lambda: any(map(farm.is_busy, names)))
        busy = next(w for w in farm.workers().values() if w["jobs"])
        other = next(w for w in farm.workers().values() if w["name"] != busy["name"])
        lines = farm.done("workers").out.splitlines()
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


def test_a_drained_worker_finishes_its_job_accepts_no_other_and_stays_drained_after_a_restart(
    farm: Farm,
) -> None:
    with farm.worker("a@test") as process:
        first = farm.push("first", "sleep 8")
        farm.await_job(first, "building")
        farm.done("workers", "drain", "a@test")
        assert farm.worker_state("a@test") == "draining"
        second = farm.push("second", "true")
        assert "drained" in farm.done("workers", "drain", "a@test", "--wait").out
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


def test_a_terminal_shows_the_workers_as_a_table(farm: Farm) -> None:
    with farm.worker("a@test"):
        environment = farm.workspace.environment(FARM_BROKER=farm.broker, TERM="xterm", COLUMNS="120")
        screen = pexpect.run(f"{FARM} workers", env=environment, encoding="utf-8", timeout=30)
    assert "works on" in screen
    assert "a@test" in screen


def test_no_job_is_lost_when_workers_start_stop_and_are_drained(farm: Farm) -> None:
    """There is no publisher, and so no reconciler: a lost job would stay lost."""
    names = [f"p{number}" for number in range(14)]
    for name in names:
        farm.workspace.write(
            name, Dockerfile=f"{BASE}RUN sleep 1\n", build_yml=f"image: {name}\narches: [amd64]\n"
        )
    run = str(farm.done("push", "--detach", "--no-sign", "--queue-anyway", "--json", *names).json["run"])
    with farm.worker("b@test"):
        for number in range(4):
            with farm.worker("a@test") as process:
                wait_until(lambda: farm.is_busy("a@test") or farm.landed(run) == len(names))
                farm.done("workers", "resume" if number % 2 else "drain", "b@test")
                process.send_signal(signal.SIGQUIT if number % 2 else signal.SIGTERM)
                ended(process, 60)
        wait_until(lambda: farm.landed(run) == len(names), 90)
    assert {job["lost"] for job in farm.jobs(run)} == {0}


def test_a_worker_stops_on_a_signal_while_redis_is_away(farm: Farm) -> None:
    redis = farm.workspace.lab.services["redis"]
    with farm.worker("a@test") as process:
        redis.stop()
        try:
            process.send_signal(signal.SIGTERM)
            ended(process, 60)
        finally:
            redis.start()


def test_drain_of_an_unknown_worker_is_refused(farm: Farm) -> None:
    answer = farm.run("workers", "drain", "nobody@test")
    assert (answer.code, "there is no worker nobody@test" in answer.err) == (1, True)


def test_after_one_sigterm_a_worker_finishes_its_job_and_accepts_no_other(farm: Farm) -> None:
    with farm.worker("a@test") as process:
        first = farm.push("first", "sleep 6")
        farm.await_job(first, "building")
        process.send_signal(signal.SIGTERM)
        second = farm.push("second", "true")
        farm.await_worker("a@test", "leaving")
        ended(process, 60)
        assert (farm.job(first)["state"], farm.job(second)["state"]) == ("built", "queued")
        assert farm.workers() == {}


@pytest.mark.parametrize(
    "signals",
    [(signal.SIGTERM, signal.SIGTERM), (signal.SIGINT, signal.SIGINT), (signal.SIGQUIT,)],
    ids=["SIGTERM twice", "SIGINT twice", "SIGQUIT"],
)
def test_after_two_sigterms_a_worker_stops_its_build_and_returns_the_job(
    farm: Farm, signals: tuple[signal.Signals, ...]
) -> None:
    seconds = next(_seconds)
    mark = f"sleep\0{seconds}\0"
    with farm.worker("b@test"):
        farm.done("workers", "drain", "b@test")
        with farm.worker("a@test") as process:
            run = farm.push("long", f"sleep {seconds}")
            farm.await_job(run, "building")
            wait_until(lambda: runs_anywhere(mark))
            for number in signals:
                process.send_signal(number)
                # Two pending signals of one kind are delivered once.
                wait_until(lambda: process.poll() is not None or farm.worker_state("a@test") == "leaving")
            ended(process, 15)
            assert not runs_anywhere(mark)
            job = farm.job(run)
            assert (job["state"], job["lost"]) == ("queued", 0)
        farm.done("workers", "resume", "b@test")
        # The lease lives for 30 s: it was released, or this would take longer.
        taken = wait_until(lambda: (job := farm.job(run))["worker"] == "b@test" and job, 15)
        assert taken["lost"] == 0
        farm.done("cancel", run)
        wait_until(lambda: not runs_anywhere(mark))


def test_after_two_sigterms_a_worker_ends_soon_even_if_its_build_does_not(farm: Farm) -> None:
    with farm.worker("a@test") as process:
        run = farm.push("stuck", "sleep 3600")
        farm.await_job(run, "building")
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        for child in children:
            os.kill(int(child), signal.SIGSTOP)
        process.send_signal(signal.SIGQUIT)
        process.communicate(timeout=40)
        assert process.returncode == 1
        wait_until(lambda: not any(alive(child) for child in children))
    assert farm.workers() == {}
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
        farm.workspace.write(
            "late", Dockerfile=f"{BASE}RUN true\n", build_yml="image: late\narches: [amd64]\n"
        )
        refused = farm.run("push", "--no-sign", "late")
        assert (refused.code, "amd64" in refused.err) == (3, True)
        hangs.send_signal(signal.SIGCONT)
        wait_until(lambda: farm.run("worker", "--check", "--name", "hangs@test").code == 0, 40)


def test_a_worker_survives_a_restart_of_redis_with_and_without_a_build_in_progress(farm: Farm) -> None:
    redis = farm.workspace.lab.services["redis"]
    with farm.worker("a@test"):
        run = farm.push("slow", "sleep 4")
        farm.await_job(run, "building")
        redis.stop()
        redis.start()
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


def test_a_worker_that_starts_before_redis_waits_for_it(farm: Farm) -> None:
    redis = farm.workspace.lab.services["redis"]
    redis.stop()
    process = farm.start("a@test")
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
        run = farm.push("during", "sleep 3")
        farm.await_job(run, "building")
        registry.stop()
        registry.start()
        farm.await_job(run, "built")
        farm.await_job(farm.push("after", "true"), "built")


def test_a_worker_survives_a_restart_of_its_engine(farm: Farm) -> None:
    with another_engine() as engine, farm.worker("a@test", FARM_ENGINE=engine.address):
        farm.await_job(farm.push("before", "true"), "built")
        engine.service.stop()
        engine.service.start()
        assert farm.await_job(farm.push("after", "true"), "built")["lost"] == 0


def test_a_worker_with_a_full_disk_reports_it_and_refuses_jobs_for_that_reason(farm: Farm) -> None:
    with farm.worker("a@test", FARM_DISK_FREE="900TiB"):
        assert "disk full" in str(farm.workers()["a@test"]["trouble"])
        assert "disk full" in farm.done("workers").out
        run = farm.push("big", "true")
        job = wait_until(lambda: (job := farm.job(run))["state"] == "failed" and job, 200)
        assert job["error"]["kind"] == "DiskFullError"
        assert "900 TiB required" in job["error"]["message"]
