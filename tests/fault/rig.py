"""The rig: a farm of separate processes on the lab, with a proxy between each process and each service.

Workers, publishers and `farm push` are the installed command. Redis is the farm's own, with an append-only
file. Each process has proxies of its own to Redis, engine and notary server; all share the proxy to the
registry, because images are named after it.
"""

from __future__ import annotations

import re
import secrets
import shutil
import tempfile
import time
from collections import defaultdict
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote

from farm.settings import Secret
from farm.state.redis_checks import USERS
from farm.state.run_handles import RunHandle
from farm.state.run_list import list_runs
from farm.state.runs import read_run
from farm.state.store import Store
from farm.trust.notary.client import NotaryServer
from lab import services
from lab.process import descendants
from tests.fault.process import Process, process_of_connection
from tests.support.farm_command import Answer, Workspace
from tests.support.git_repos import git
from tests.support.proxy.tcp import Proxy
from tests.support.proxy.tripwire import Hold, Tripwire, matching
from tests.support.proxy.upstream import Upstream
from tests.support.remote_farm import refused

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from farm.state.records import PackageRecord
    from lab.lab import Lab
    from lab.process import Service
    from tests.support.proxy.tcp import Connection

ARCHES = ("amd64", "arm64", "s390x")
LEASE = 4.0
"""The rig's setting `lease`, seconds."""
_REQUEST = re.compile(rb"(?:^|\r\n\r\n)(GET|HEAD|POST|PUT|PATCH|DELETE) (/\S*) HTTP/1")
_DOCKERFILE = """\
ARG ORG
ARG REGISTRY
FROM {base}
LABEL made-for="{nonce}"
"""
_STEP = """\
RUN echo "at work on {nonce}"; sleep {seconds}; uname -m > /machine
"""


class Backend(StrEnum):
    """The services that the farm's processes reach through proxies."""

    REDIS = "redis"
    REGISTRY = "registry"
    NOTARY = "notary"
    ENGINE = "engine"


@dataclass(frozen=True, slots=True)
class Request:
    """An HTTP request that reached a service."""

    at: float
    """Monotonic time."""
    process: str
    """The process that sent it; at the registry, whose proxy all share, "" unless it reads a manifest."""
    method: str
    target: str
    """Path and query, unquoted."""


@dataclass(eq=False, repr=False)
class Rig:
    """The farm; see `running_rig`."""

    lab: Lab
    home: Path
    redis: Service
    broker: str
    """Redis without a proxy, as a user who may everything: for what the test asks."""
    lease: float
    upstreams: dict[Backend, Upstream]
    processes: dict[str, Process] = field(default_factory=dict)
    written: dict[str, str] = field(default_factory=dict)
    """NAME:TAG to words that only the images of that package have in their history."""
    _proxies: dict[tuple[str, Backend], Proxy] = field(default_factory=dict)
    _tripwires: dict[Backend, list[Tripwire]] = field(default_factory=lambda: defaultdict(list))
    _requests: dict[Backend, list[Request]] = field(default_factory=lambda: defaultdict(list))

    def __post_init__(self) -> None:
        self.registry = self.proxy("", Backend.REGISTRY)
        self.workspace = self._new_workspace()
        self.store = Store(Secret(self.broker))

    # Proxies

    def proxy(self, process: str, backend: Backend) -> Proxy:
        """The proxy between a process and a service; all processes share the one to the registry."""
        owner = "" if backend is Backend.REGISTRY else process

        def note(connection: Connection, data: bytes) -> None:
            now = time.monotonic()
            for method, target in _REQUEST.findall(data):
                path = unquote(target.decode(errors="replace"))
                reads = method == b"GET" and "/manifests/" in path
                process = connection.client if reads else owner
                self._requests[backend].append(Request(now, process, method.decode(), path))

        if (owner, backend) not in self._proxies:
            self._proxies[owner, backend] = Proxy(
                self.upstreams[backend],
                client=lambda port, to: owner or self._owner(port, to),
                tripwires=self._tripwires[backend],
                on_sent=note,
            )
        return self._proxies[owner, backend]

    def close(self) -> None:
        """Kill all processes and close all proxies."""
        for process in self.processes.values():
            if process.running:
                process.kill()
        for proxy in self._proxies.values():
            proxy.close()
        self.store.close()

    def check_roles(self) -> None:
        """Redis, if it runs, has refused nothing to the users of the roles."""
        if self.redis.process and self.redis.process.poll() is None:
            denied = refused(self.store, USERS)
            assert not denied, denied

    def _owner(self, port: int, to: int) -> str:
        """The process that holds the connection from one loopback port to another."""
        names = {process.pid: process.name for process in list(self.processes.values()) if process.running}
        below = descendants(*names)
        pid = process_of_connection(port, to, below)
        return names[below[pid]] if pid else "engine"

    @contextmanager
    def tripwire(
        self, backend: Backend, pattern: str, hold: Hold = Hold.BEFORE, processes: Collection[str] = ()
    ) -> Iterator[Tripwire]:
        """A tripwire on the connections of some processes, or of all; removed and released at the end.

        The pattern is a regular expression over the bytes that go to the service.
        """
        tripwire = Tripwire(matching(pattern, processes), hold, name=pattern)
        self._tripwires[backend].append(tripwire)
        try:
            yield tripwire
        finally:
            self._tripwires[backend].remove(tripwire)
            tripwire.release()

    def requests(self, backend: Backend, method: str, pattern: str) -> list[Request]:
        """The HTTP requests of a method that reached a service and whose target matches a pattern."""
        seen = list(self._requests[backend])
        return [one for one in seen if one.method == method and re.search(pattern, one.target)]

    # Processes

    def environment(self, process: str) -> dict[str, str]:
        """The variables with which a process finds the farm through its own proxies."""
        ports = {backend: self.proxy(process, backend).port for backend in Backend}
        return self.workspace.environment(
            FARM_BROKER=re.sub(r":\d+/", f":{ports[Backend.REDIS]}/", self.broker_of(process)),
            FARM_ENGINE=f"tcp://127.0.0.1:{ports[Backend.ENGINE]}",
            FARM_NOTARY_SERVER=f"https://localhost:{ports[Backend.NOTARY]}",
            FARM_LEASE=f"{self.lease}s",
        )

    def broker_of(self, process: str) -> str:
        """Redis as the user whose role a process has, without a proxy."""
        role = process.partition("-")[0]
        user = "publisher" if role == "publish" else f"worker-{role}" if role in ARCHES else "maintainer"
        return services.as_user(self.broker, user)

    def launch(self, name: str, *words: str, **variables: str) -> Process:
        """Start `farm WORDS` as a process with proxies of its own, after one of that name has stopped."""
        starts: list[float] = []
        if name in self.processes:
            self.processes[name].stop()
            starts = self.processes[name].starts
        log = self.home / f"{name}.log"
        environment = self.environment(name) | variables
        self.processes[name] = Process(name, words, self.workspace.directory, log, environment, starts=starts)
        return self.processes[name].start()

    def worker(self, name: str, **variables: str) -> Process:
        """Start the worker ARCH-NUMBER, or the publisher publish-NUMBER."""
        role = name.partition("-")[0]
        duty = ["--publish"] if role == "publish" else ["--arch", role, "--emulate"]
        return self.launch(name, "worker", *duty, "--name", name, **variables)

    def push(self, name: str, *packages: str, words: Sequence[str] = (), **variables: str) -> Process:
        return self.launch(name, "push", "--json", *words, *packages, **variables)

    def ask(self, *words: str) -> Answer:
        """Run `farm WORDS` without proxies, except to the registry."""
        return self.workspace.farm(*words, FARM_BROKER=self.broker_of("maintainer"))

    @property
    def notary(self) -> NotaryServer:
        """The notary server itself, without a proxy; nothing has been read from it before."""
        work = self.home / f"notary-{secrets.token_hex(4)}"
        pins = self.home / "docker" / "trust" / "pins.yml"
        return NotaryServer(self.lab.notary_url, work, pins, self.lab.notary_ca, timeout=60.0)

    # Packages

    def _new_workspace(self) -> Workspace:
        org = f"localhost:{self.registry.port}/t{secrets.token_hex(4)}/linuxkit"
        directory = self.home / "packages"
        for folder in (directory, self.home / "docker"):
            folder.mkdir()
        git(directory, "init", "-q", "-b", "main")
        git(directory, "commit", "-q", "--allow-empty", "-m", "begin")
        variables = (
            self.lab.environment(self.home / "farm")
            | self.lab.identity_environment()
            | {
                "FARM_ORG": org,
                "FARM_BUILD_ARGS": f"REGISTRY={self.lab.registry},ORG={org}",
                "DOCKER_CONFIG": str(self.home / "docker"),
                "COLUMNS": "200",
            }
        )
        return Workspace(self.lab, directory, org, variables)

    def package(self, name: str, *, seconds: float = 0, needs: str = "") -> str:
        """Write a new package, built from the package `needs`; both are NAME:TAG.

        Its log says `at work` during its RUN step of these seconds; with 0 there is no step.
        """
        nonce = f"{name} {secrets.token_hex(4)}"
        base = "${ORG}/" + needs.rpartition("/")[2] if needs else "${REGISTRY}/library/busybox:1.36"
        text = _DOCKERFILE.format(base=base, nonce=nonce)
        text += _STEP.format(nonce=nonce, seconds=seconds) if seconds else ""
        about = f"image: {name}\narches: [{', '.join(ARCHES)}]\n"
        self.workspace.write(name, Dockerfile=text, build_yml=about)
        tag = git(self.workspace.directory, "rev-parse", f"HEAD:{name}").decode()
        reference = f"{self.workspace.org}/{name}:{tag}"
        self.written[reference] = nonce
        return reference

    def prepare(self, *packages: str) -> None:
        """Initialise signing for packages, which need not exist yet."""
        answer = self.ask("trust", "init", *(f"{self.workspace.org}/{package}" for package in packages))
        assert answer.code == 0, answer.err

    def builds(self, reference: str, arch: str) -> list[Request]:
        """The builds that the engine was asked for of one architecture of NAME:TAG."""
        return self.requests(Backend.ENGINE, "POST", rf"/build\?.*&t={re.escape(reference)}-{arch}&")

    def records(self, reference: str) -> Iterator[tuple[str, PackageRecord]]:
        """The runs that contain the package NAME:TAG, the newest first, each with its record."""
        for row in list_runs(self.store):
            for package in read_run(RunHandle(self.store, row["run"])).packages.values():
                if package.reference == reference:
                    yield row["run"], package

    def run_of(self, reference: str) -> str | None:
        """The newest run that contains the package NAME:TAG."""
        return next((run for run, _ in self.records(reference)), None)

    def record(self, reference: str) -> PackageRecord:
        """The record of a package in its newest run."""
        found = next(self.records(reference), None)
        assert found, f"no run contains {reference}"
        return found[1]

    @property
    def workers(self) -> list[Process]:
        """Workers and publishers."""
        return [process for process in self.processes.values() if process.words[0] == "worker"]

    def revive(self) -> None:
        """Start all killed workers again, and wait until they are ready."""
        dead = [process.start() for process in self.workers if not process.running]
        for process in dead:
            process.wait_ready()

    # Redis

    def kill_redis(self) -> None:
        assert self.redis.process is not None
        self.redis.process.kill()
        self.redis.process.wait()

    def empty_redis(self) -> None:
        """Kill Redis and delete its data; after `redis.start()` it is empty."""
        self.kill_redis()
        for kept in (self.home / "redis").iterdir():
            if kept.name != "redis.conf":
                shutil.rmtree(kept) if kept.is_dir() else kept.unlink()


@contextmanager
def running_rig(lab: Lab, workers: Sequence[str], *, lease: float = LEASE) -> Iterator[Rig]:
    """A farm with these workers ready, for as long as the body runs; nothing of it is left afterwards."""
    with ExitStack() as stack:
        home = Path(tempfile.mkdtemp(prefix="farm-f"))
        stack.callback(shutil.rmtree, home)
        redis = services.redis(home, secrets.token_hex(16))
        stack.callback(redis.service.stop)
        redis.service.start()
        upstreams = {
            Backend.REDIS: Upstream(redis.address),
            Backend.REGISTRY: Upstream(f"tcp://{lab.registry}"),
            Backend.NOTARY: Upstream(lab.notary_url, (lab.notary_ca, lab.notary_ca.with_name("server.key"))),
            Backend.ENGINE: Upstream(lab.engine_url),
        }
        rig = Rig(lab, home, redis.service, redis.address, lease, upstreams)
        stack.callback(rig.close)
        stack.callback(rig.check_roles)
        for name in workers:
            rig.worker(name)
        for name in workers:
            rig.processes[name].wait_ready()
        yield rig
