"""Real workers that tests attack through Redis, and messages for them."""

from __future__ import annotations

import base64
import json
import re
import subprocess
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from farm.model import JobState, PackageState, Reference, Run
from farm.scheduling import coordinator
from farm.scheduling.celery_app import make_app
from farm.scheduling.send_ready import send_ready
from farm.settings import Secret, Settings
from farm.state.runs import create_run, read_job, read_package
from farm.state.store import Store
from farm.state.workers import known_workers
from farm.trust.orders import sign_run
from lab.process import descendants
from tests.acceptance.conftest import new_database
from tests.support.farm_command import FARM, environment_without_farm, wait_until
from tests.support.remote_farm import end
from tests.support.values import job, work

if TYPE_CHECKING:
    from collections.abc import Iterator

    from celery import Celery

    from farm.state.run_handles import PackageHandle
    from farm.state.workers import WorkerInfo
    from lab.lab import Lab

PACKAGE = "linuxkit/foo"
ROLES = {"build.amd64": ("--arch", "amd64"), "publish": ("--publish",)}
"""The options of a worker that serves a queue."""


@dataclass
class Victim:
    """A worker, and Redis as the attacker reaches it."""

    lab: Lab
    broker: str
    queue: str
    process: subprocess.Popen[str]
    log: Path
    runs: int = 0
    store: Store = field(init=False)
    app: Celery = field(init=False)

    def __post_init__(self) -> None:
        settings = Settings(broker=Secret(self.broker))
        self.store, self.app = Store(Secret(self.broker)), make_app(settings, tries=1)

    @property
    def redis(self) -> Any:
        """Redis."""
        return self.store.binary

    def info(self) -> WorkerInfo | None:
        """What the worker reports."""
        return next((one for one in known_workers(self.store) if one.live), None)

    def said(self) -> str:
        """Its log."""
        return self.log.read_text(errors="replace")

    def warnings(self, text: str = "rejected a") -> list[str]:
        """The lines of its log with a text."""
        return [line for line in self.said().split("\n") if text in line]

    def memory(self) -> int:
        """The most that one of its processes ever had, in MiB."""
        numbers = list(descendants(self.process.pid))
        peaks = [re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{one}/status").read_text()) for one in numbers]
        return max(int(peak[1]) for peak in peaks if peak) // 1024

    def take(self, *messages: bytes) -> None:
        """Put messages into its queue, and wait until they are gone."""
        for message in messages:
            self.redis.lpush(self.queue, message)
        wait_until(lambda: not self.redis.llen(self.queue), otherwise=self.said)

    def submit(self, **facts: Any) -> PackageHandle:
        """A run whose job fails at once, for lack of its context, or whose publication has nothing to do."""
        self.runs += 1
        name = f"r{self.runs}-abcd"
        if self.queue == "publish":
            one = replace(work(PACKAGE), arches=(), images_only=True)
        else:
            target = Reference(self.lab.registry, PACKAGE, "ab12cd34" * 5)
            build = replace(job("amd64", run=name), package=PACKAGE, reference=target, **facts)
            one = replace(work(PACKAGE), reference=target, arches=("amd64",), jobs=(build,))
        signed = sign_run(
            Run(name, "me", time.time(), (one,)), Settings(order_key=self.lab.identity.order_key)
        )
        handle = create_run(self.store, signed)
        coordinator.start_packages(self.app, handle, [one])
        send_ready(self.app, self.store)
        return handle.package(PACKAGE)

    def ended(self, package: PackageHandle) -> bool:
        """Whether the worker has done its part of a run."""
        if self.queue == "publish":
            return read_package(package).state is PackageState.PUSHED
        record = read_job(package.job("amd64"))
        return record is not None and record.state is JobState.FAILED

    def check_works(self) -> None:
        """Check that the same process still does what it should, and reports that it is up."""
        package = self.submit()
        wait_until(lambda: self.ended(package), otherwise=self.said)
        assert self.process.poll() is None, self.said()
        assert (info := self.info())
        assert info.serving

    def message(self, **changes: Any) -> bytes:
        """A message that this worker takes, with changes: a path of names, joined by two underscores."""
        if self.queue == "publish":
            task, body = "farm.publish_manifest", [[[]], {"run": "r1-abcd", "package": PACKAGE}, {}]
        else:
            task, body = "farm.build_and_push", [[], build_of(), {}]
        headers = {"lang": "py", "task": task, "id": "1", "retries": 0, "timelimit": [None, None]}
        made: dict[str, Any] = {
            "body": encoded(changes.pop("content", body)),
            "content-type": "application/json",
            "content-encoding": "utf-8",
            "headers": headers,
            "properties": {"body_encoding": "base64", "priority": 0, "delivery_tag": "1"},
        }
        for path, value in changes.items():
            *parents, name = path.split("__")
            (made[parents[0]] if parents else made)[name] = value
        return json.dumps(made).encode()


def build_of(**changes: Any) -> dict[str, Any]:
    """The arguments of a build for amd64, with changes."""
    return {"run": "r1-abcd", "package": PACKAGE, "arch": "amd64", **changes}


def encoded(content: Any) -> str:
    """The body of a message."""
    return base64.b64encode(json.dumps(content).encode()).decode()


@contextmanager
def running_victim(lab: Lab, queue: str) -> Iterator[Victim]:
    """A worker that serves a queue, with a Redis database of its own."""
    with ExitStack() as stack:
        home = Path(stack.enter_context(TemporaryDirectory(prefix="farm-v")))
        broker, log = new_database(lab), home / "log"
        variables = lab.environment(home / "state") | lab.identity_environment()
        variables |= {"FARM_BROKER": broker, "FARM_SIGN": "false"}
        with log.open("wb") as output:
            process = subprocess.Popen(
                [FARM, "worker", "--name", "victim@test", *ROLES[queue]],
                env=environment_without_farm() | variables,
                cwd=home,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                text=True,
            )
        stack.callback(end, process)
        victim = Victim(lab, broker, queue, process, log)
        stack.callback(victim.store.close)
        wait_until(victim.info, otherwise=victim.said)
        yield victim
