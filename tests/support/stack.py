"""The stack in containers, made from a clone as an operator does, on an engine of its own."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import docker

from lab.debian import busybox, docker_compose
from lab.engine import address_of, own_engine
from lab.machine import ARCHES, DOCKER
from lab.process import free_port
from tests.support.clone import PATH
from tests.support.farm_command import FARM, Answer, answer_of, environment_without_farm, wait_until
from tests.support.git_repos import git
from tests.support.http import send
from tests.support.stack_images import BUILD, copy_engine_data

if TYPE_CHECKING:
    from collections.abc import Mapping

    from urllib3 import BaseHTTPResponse

    from lab.process import Service

LIMIT = 1200
"""Seconds that one command may take: it may build every image on a busy machine."""
_PORTS = ("REDIS_PORT", "REGISTRY_PORT", "NOTARY_PORT", "FLOWER_PORT")
_HEALTH = {"HEALTH_INTERVAL": "8s", "WORKER_HEALTH_INTERVAL": "20s"}
"""Longer than by default, as each check starts a process in a container. `make up` waits for the first."""
FROM_SCRATCH = """\
FROM scratch
ARG TARGETARCH
COPY busybox-${TARGETARCH} /bin/busybox
SHELL ["/bin/busybox", "sh", "-c"]
RUN /bin/busybox uname -m > /built-on
"""


@dataclass
class Machine:
    """A machine with a clone and a Docker Engine of its own."""

    home: Path
    name: str
    service: Service | None = None
    env: dict[str, str] = field(default_factory=dict, repr=False)

    @property
    def clone(self) -> Path:
        """The operator's clone."""
        return self.home / "clone"

    @property
    def engine(self) -> str:
        """The URL of its engine."""
        return f"unix://{self.home}/engine/docker.sock"

    @property
    def socket(self) -> str:
        """The engine's socket."""
        return self.engine.removeprefix("unix://")

    @property
    def certs(self) -> Path:
        """The directory that replaces /etc/docker/certs.d."""
        return self.home / "certs.d"

    def start_engine(self, ca: Path) -> None:
        """Start an engine that also trusts this CA, and has the layers of the images."""
        bundle = self.home / "trusted.crt"
        system = Path(os.environ.get("SSL_CERT_FILE", "/etc/ssl/certs/ca-certificates.crt"))
        bundle.write_text(system.read_text() + ca.read_text())
        self.service = own_engine(self.home, trusting=bundle).service
        copy_engine_data(self.home / "engine" / "data")
        self.service.start()

    def stop_engine(self) -> None:
        """Stop the engine, if it was started."""
        if self.service:
            self.service.stop()

    def kill_containers(self) -> None:
        """Kill what runs in the engine: stopping it would wait for each container's grace period."""
        if self.service and self.service.process and not self.service.ended:
            with self._client() as client:
                for container in client.containers.list():
                    container.kill()

    def run(self, *command: str, **variables: str) -> Answer:
        """Run a command in the clone, to its end."""
        own = {"DOCKER_HOST": self.engine, "COMPOSE": str(docker_compose()), "PATH": PATH}
        return answer_of(command, {**environment_without_farm(), **own, **variables}, self.clone, LIMIT)

    def done(self, *command: str, **variables: str) -> str:
        """Run a command that must succeed; returns its output."""
        answer = self.run(*command, **variables)
        assert answer.code == 0, f"{command}: {answer.code}\n{answer.out[-3000:]}\n{answer.err[-9000:]}"
        return answer.out

    def make(self, *words: str) -> str:
        """Run `make WORDS` with the cached Docker Compose; a failure shows the containers' logs."""
        answer = self.run("make", "--no-print-directory", *words, f"COMPOSE={docker_compose()}")
        logs = self.compose("logs", "--tail=20") if answer.code else ""
        assert answer.code == 0, f"{answer.out[-6000:]}\n{answer.err[-6000:]}\n{logs}"
        return answer.out

    def compose(self, *words: str) -> str:
        """Run `docker compose WORDS` on the stack."""
        project = ["--project-directory", "compose", "--file", "compose/compose.yaml"]
        return self.done(str(docker_compose()), *project, *words)

    def containers(self) -> dict[str, dict[str, Any]]:
        """All containers of the stack by service, as the engine describes them."""
        with self._client() as client:
            found = client.containers.list(all=True, filters={"label": "com.docker.compose.oneoff=False"})
            return {each.labels["com.docker.compose.service"]: each.attrs for each in found}

    def volumes(self) -> set[str]:
        """The names of the stack's volumes."""
        with self._client() as client:
            return {volume.name for volume in client.volumes.list()}

    def kill(self, service: str) -> None:
        """Kill a service, as the kernel does when memory is short; the engine restarts it."""
        before = self.containers()[service]
        os.kill(before["State"]["Pid"], signal.SIGKILL)
        with self._client() as client:

            def state() -> dict[str, Any]:
                described: dict[str, Any] = client.api.inspect_container(before["Id"])["State"]
                return described

            wait_until(lambda: state()["StartedAt"] != before["State"]["StartedAt"], 120)

    def _client(self) -> closing[docker.DockerClient]:
        return closing(docker.DockerClient(base_url=self.engine, timeout=LIMIT))


@dataclass
class Stack(Machine):
    """The machine with all services of the stack."""

    packages: Path = Path()
    """A repository of packages that need no base image."""

    def init(self) -> str:
        """Run compose/init, with free ports and an address that containers can reach."""
        variables = {
            **{name: str(free_port()) for name in _PORTS},
            **BUILD,
            **_HEALTH,
            "FARM_BIND": self.host,
            "FARM_YML": str(self.home / "farm.yml"),
        }
        settings = [f"--set={name}={value}" for name, value in variables.items()]
        options = [f"--socket={self.socket}", f"--docker-certs={self.certs}", "--machine=first"]
        return self.done("compose/init", self.host, "--emulate", *options, *settings)

    @property
    def host(self) -> str:
        """The address of this machine, for containers and for itself."""
        return address_of(self.home)

    @property
    def variables(self) -> dict[str, str]:
        """The variables in .env."""
        lines = (self.clone / "compose" / ".env").read_text().splitlines()
        return dict(line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))

    @property
    def registry(self) -> str:
        """The registry's name in the names of images."""
        return f"{self.host}:{self.variables['REGISTRY_PORT']}"

    @property
    def notary(self) -> str:
        """The notary server."""
        return f"{self.host}:{self.variables['NOTARY_PORT']}"

    def environment(self, config: str = "maintainer/farm.yml") -> dict[str, str]:
        """The environment of a maintainer, or of a user with another farm.yml."""
        state = {"FARM_STATE_DIR": str(self.home / "state"), "COLUMNS": "200"}
        return environment_without_farm() | state | {"FARM_CONFIG": str(self.clone / "compose" / config)}

    def farm(self, *words: str, config: str = "maintainer/farm.yml") -> str:
        """Run `farm WORDS` on the host, in the repository of packages; it must succeed."""
        answer = answer_of([FARM, *words], self.environment(config), self.packages, LIMIT)
        assert answer.code == 0, f"farm {words}: {answer.code}\n{answer.out}\n{answer.err}"
        assert "Traceback" not in answer.err, answer.err
        return answer.out

    def start(self, *words: str) -> subprocess.Popen[str]:
        """Start `farm WORDS` on the host."""
        return subprocess.Popen(
            [FARM, *words],
            cwd=self.packages,
            env=self.environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def write(self, package: str, more: str = "", *, network: bool = False) -> str:
        """Add a package, whose build may use the network, prepare it for signing, and return its NAME:TAG."""
        folder = self.packages / package
        folder.mkdir()
        (folder / "build.yml").write_text(f"image: {package}\nnetwork: {str(network).lower()}\n")
        (folder / "Dockerfile").write_text(FROM_SCRATCH + more)
        for arch in ARCHES:
            shutil.copy(busybox(arch), folder / f"busybox-{arch}")
        git(self.packages, "add", "-A")
        git(self.packages, "commit", "-qm", package)
        reference = self.farm("show-tag", package).strip()
        self.prepare(reference.rpartition(":")[0])
        return reference

    def prepare(self, *names: str) -> str:
        """Prepare names for signing, as an administrator does in the clone."""
        config = "compose/secrets/administrator/farm.yml"
        return self.done(str(FARM), "--config", config, "trust", "init", *names)

    def workers(self) -> dict[str, dict[str, Any]]:
        """The running workers, by name."""
        return {worker["name"]: worker for worker in json.loads(self.farm("workers", "--json"))}

    def docker_user(self, home: Path) -> dict[str, str]:
        """The environment of a docker user who may pull, with content trust enabled, without the farm."""
        folder = home / ".docker" / "tls" / self.notary
        folder.mkdir(parents=True)
        shutil.copy(self.clone / "compose/secrets/ca.crt", folder / "ca.crt")
        shutil.copy(self.clone / "compose/secrets/docker-reader.json", home / ".docker" / "config.json")
        return {
            "HOME": str(home),
            "PATH": os.defpath,
            "DOCKER_HOST": self.engine,
            "DOCKER_CONFIG": str(home / ".docker"),
            "DOCKER_CONTENT_TRUST": "1",
            "DOCKER_CONTENT_TRUST_SERVER": f"https://{self.notary}",
        }

    def flower(self, path: str, login: tuple[str, str] | None) -> BaseHTTPResponse:
        """Request a page of Flower."""
        url = f"http://127.0.0.1:{self.variables['FLOWER_PORT']}{path}"
        return send("GET", url, login=login)

    def secret(self, name: str) -> str:
        """The text of a secret."""
        return (self.clone / "compose" / "secrets" / name).read_text().strip()


def docker_as(variables: Mapping[str, str], *words: str) -> Answer:
    """Run Debian's docker client."""
    return answer_of([DOCKER, *words], variables, Path.cwd(), LIMIT)
