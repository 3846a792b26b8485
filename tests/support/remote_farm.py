"""A farm of separate workers on one Redis: its commands, its state in Redis, and builds that tests end.

Each process logs in to Redis as the user of its role.
"""

from __future__ import annotations

import itertools
import logging
import os
import secrets
import signal
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from farm.errors import FarmError
from farm.scheduling.access import user_rule
from farm.settings import Secret
from farm.state.logs import read_log
from farm.state.redis_checks import USERS
from farm.state.run_handles import RunHandle
from farm.state.run_list import list_runs
from farm.state.runs import read_run
from farm.state.store import Store
from farm.state.workers import WorkerState, known_workers
from tests.support.farm_command import wait_until

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Collection, Iterator

    from farm.model import JobState, PackageState
    from farm.state.records import RunRecord
    from tests.support.farm_command import Answer, Workspace

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Sleep:
    """A step of a build that lasts until the test finishes it, or for hours."""

    seconds: int = field(default_factory=lambda: 10_000 + secrets.randbelow(90_000))

    @property
    def command(self) -> str:
        """A shell command, which also succeeds when its `sleep` is killed."""
        return f"sleep {self.seconds} || true"

    def processes(self) -> list[int]:
        """Its processes on this machine, in any container, emulated or not."""
        found = []
        for process in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                if f"sleep\0{self.seconds}\0".encode() in (process / "cmdline").read_bytes():
                    found.append(int(process.name))
        return found

    def wait(self) -> None:
        """Wait until it runs."""
        wait_until(self.processes)

    def wait_stopped(self, seconds: float = 20) -> None:
        """Wait until it runs nowhere."""
        wait_until(lambda: not self.processes(), seconds)

    def finish(self) -> None:
        """Let the step succeed, once it runs."""
        for process in wait_until(self.processes):
            os.kill(process, signal.SIGKILL)


class RemoteFarm:
    """The commands of maintainers and operators, and what Redis holds, which is faster to read."""

    def __init__(self, workspace: Workspace, broker: str) -> None:
        self.workspace = workspace
        self.broker = broker
        self.store = Store(Secret(broker))
        self._users = add_users(self.store, broker)

    def broker_of(self, *words: str) -> str:
        """The URL with the user of a command's role; that of a private farm has no users."""
        arches = [word for option, word in itertools.pairwise(words) if option == "--arch"]
        if words[:1] != ("worker",):
            user = "flower" if words[:1] == ("flower",) else "maintainer"
        elif "--publish" in words:
            user = "publisher"
        else:
            user = f"worker-{arches[0]}" if len(arches) == 1 else "worker"
        return self._users.get(user, self.broker)

    def close(self) -> None:
        """Close the connection to Redis, which must have refused nothing to the users of the roles.

        What it logs about the runs, pytest shows for a test that failed.
        """
        for run in self.runs():
            with suppress(FarmError):  # a test may have spoilt it
                self._log_run(run)
        users = {unquote(urlsplit(url).username or "") for url in self._users.values()}
        denied = refused(self.store, users)
        self.store.close()
        assert not denied, denied

    def _log_run(self, run: str) -> None:
        for name, package in self.record(run).packages.items():
            log.warning("%s %s: %s", run, name, package)
            for arch in package.jobs:
                job = RunHandle(self.store, run).package(name).job(arch)
                log.warning("the last lines of %s:\n%s", job, "\n".join(read_log(job, last=20)))

    def run(self, *words: str) -> Answer:
        """How a command ended."""
        return self.workspace.farm(*words, FARM_BROKER=self.broker_of(*words))

    def done(self, *words: str) -> Answer:
        """A command that must succeed."""
        return self.workspace.done(*words, FARM_BROKER=self.broker_of(*words))

    def submit(self, *words: str) -> str:
        """Push without waiting and without a signature; returns the run's name."""
        return str(self.done("push", "--detach", "--no-sign", "--json", *words).json["run"])

    def record(self, run: str) -> RunRecord:
        """A run."""
        return read_run(RunHandle(self.store, run))

    def states(self, run: str) -> dict[tuple[str, str], JobState]:
        """The states of a run's jobs by the last part of the package's name and the architecture."""
        packages = self.record(run).packages.items()
        return {
            (name.rpartition("/")[2], arch): job.state
            for name, package in packages
            for arch, job in package.jobs.items()
        }

    def package_states(self, run: str) -> dict[str, PackageState]:
        """The states of a run's packages by the last part of their names."""
        packages = self.record(run).packages.items()
        return {name.rpartition("/")[2]: package.state for name, package in packages}

    def runs(self) -> list[str]:
        """The names of all runs."""
        return [row["run"] for row in list_runs(self.store)]

    def await_run(self, run: str, state: str) -> None:
        """Wait until a run is in a state."""
        wait_until(lambda: self.record(run).state == state)

    def workers(self) -> dict[str, Any]:
        """The workers by name, as the command lists them."""
        return {worker["name"]: worker for worker in self.done("workers", "--json").json}

    def worker_states(self) -> dict[str, str]:
        """The states of the workers by name."""
        return {worker.name: str(worker.state) for worker in known_workers(self.store)}

    def is_busy(self, name: str) -> bool:
        """Whether a worker works on a job."""
        return any(one.name == name and one.jobs for one in known_workers(self.store))

    def await_worker(self, name: str, *states: str) -> None:
        """Wait until a worker is in one of these states."""
        wait_until(lambda: self.worker_states().get(name) in states)

    def start(self, name: str, *words: str, **variables: str) -> subprocess.Popen[str]:
        """Start a worker, and return at once."""
        words = ("worker", "--name", name, *words)
        return self.workspace.start(*words, FARM_BROKER=self.broker_of(*words), **variables)

    @contextmanager
    def worker(self, name: str, *words: str, **variables: str) -> Iterator[subprocess.Popen[str]]:
        """A worker for amd64 that is up; killed at the end if it still runs."""
        process = self.start(name, "--arch", "amd64", *words, **variables)
        try:
            self.await_worker(name, *(set(WorkerState) - {"silent"}))
            yield process
        finally:
            end(process)

    @contextmanager
    def serving(self, *arches: str) -> Iterator[dict[str, subprocess.Popen[str]]]:
        """A worker for each architecture and a publisher, all up; each must end well after a SIGTERM."""
        started = {arch: self.start(f"{arch}@test", "--arch", arch, "--emulate") for arch in arches}
        started["publish"] = self.start("publish@test", "--publish")
        try:
            wait_until(lambda: len(self.worker_states()) == len(started))
            yield started
            for process in started.values():
                process.send_signal(signal.SIGTERM)
            endings = {
                name: (process.communicate(timeout=60)[0], process.returncode)
                for name, process in started.items()
            }
            assert all(code == 0 for _, code in endings.values()), endings
        finally:
            # After a failure a build of hours may be in progress.
            for process in started.values():
                end(process)


def add_users(store: Store, broker: str) -> dict[str, str]:
    """Give the farm's users their rights in this database; returns the URL of each."""
    url = urlsplit(broker)
    if url.scheme == "unix":
        return {}
    brokers = {}
    for user in USERS:
        _, _, *rules = user_rule(user, f">{url.password}", int(url.path[1:])).split()
        name = f"{user}.{url.path[1:]}"
        store.text.execute_command("ACL", "SETUSER", name, *rules)  # type: ignore[no-untyped-call]  # of redis-py
        brokers[user] = broker.replace("redis://:", f"redis://{name}:", 1)
    # They are there after a restart, too.
    store.text.acl_save()
    return brokers


def refused(store: Store, users: Collection[str]) -> list[str]:
    """What Redis has refused to these users, except what its client asks of newer ones."""
    log: list[dict[str, Any]] = store.text.acl_log(count=1000)
    found = [f"{one['username']}: {one['object']}" for one in log if one["username"] in users]
    return [entry for entry in found if "client|" not in entry]


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
