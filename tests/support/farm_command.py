"""The installed command `farm`, run as a user runs it, in a workspace of packages."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any

from farm.private_farm.state_directory import StateDirectory
from farm.registry.oci import ACCEPT
from farm.system.locks import locked
from tests.support.git_repos import git
from tests.support.http import send

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from urllib3 import BaseHTTPResponse

    from lab.lab import Lab

FARM = str(Path(sys.executable).parent / "farm")
LIMIT = 120
BUSYBOX = "ARG REGISTRY\nFROM ${REGISTRY}/library/busybox:1.36\n"
"""The beginning of a Dockerfile."""


def wait_until(
    condition: Callable[[], Any], seconds: float = 60.0, *, otherwise: Callable[[], str] = str
) -> Any:
    """Look at a condition, ever less often, until it is true; returns its value, fails with `otherwise`."""
    began, pause = time.monotonic(), threading.Event()
    while not (value := condition()):
        waited = time.monotonic() - began
        assert waited < seconds, otherwise() or f"the condition did not become true within {seconds:.0f} s"
        pause.wait(min(max(waited / 20, 0.02), 0.25))  # each look takes processor time
    return value


@dataclass(frozen=True)
class Answer:
    """The result of one command."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


def environment_without_farm() -> dict[str, str]:
    """The environment of this process, without the variables of farm and docker."""
    return {key: value for key, value in os.environ.items() if not key.startswith(("FARM_", "DOCKER_"))}


def answer_of(
    command: Sequence[str], environment: Mapping[str, str], directory: Path, seconds: float = LIMIT
) -> Answer:
    """Run a command to its end, with nothing on standard input."""
    done = subprocess.run(
        command,
        cwd=directory,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )
    return Answer(done.returncode, done.stdout, done.stderr)


@dataclass(frozen=True)
class Workspace:
    """A git repository of packages, an organisation of its own at the lab's registry, and a private farm."""

    lab: Lab
    directory: Path
    org: str
    """localhost:PORT/NAME/linuxkit."""
    variables: dict[str, str] = field(repr=False)
    program: str = FARM

    def environment(self, **more: str) -> dict[str, str]:
        """The environment of a command; FARM_BROKER="" leaves the broker out."""
        return {**environment_without_farm(), **self.variables, **more}

    def farm(self, *words: str, **variables: str) -> Answer:
        return answer_of([self.program, *words], self.environment(**variables), self.directory)

    def done(self, *words: str, **variables: str) -> Answer:
        """Run `farm WORDS`, which must succeed."""
        answer = self.farm(*words, **variables)
        assert answer.code == 0, f"{answer.code}\n{answer.out}\n{answer.err}"
        return answer

    def modules_of(self, *words: str, **variables: str) -> set[str]:
        """The modules that `farm WORDS` imports, which must succeed."""
        command = [sys.executable, "-X", "importtime", self.program, *words]
        answer = answer_of(command, self.environment(**variables), self.directory)
        assert answer.code == 0, f"{answer.code}\n{answer.out}\n{answer.err}"
        lines = [line for line in answer.err.splitlines() if line.startswith("import time:")]
        loaded = {line.rpartition("|")[2].strip() for line in lines}
        assert "farm.cli.main" in loaded
        return loaded

    def start(self, *words: str, **variables: str) -> subprocess.Popen[str]:
        """Start `farm WORDS` in a process group of its own, with its output in one pipe."""
        return subprocess.Popen(
            [self.program, *words],
            cwd=self.directory,
            env=self.environment(**variables),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    @property
    def state(self) -> StateDirectory:
        """The state directory of the private farm."""
        return StateDirectory.at(Path(self.variables["FARM_STATE_DIR"]))

    @contextmanager
    def held_up(self) -> Iterator[Workspace]:
        """Keep the private farm up between commands, once one has started it."""
        with locked(self.state.users_lock, shared=True):
            yield self

    def write(self, package: str, *, arches: str = "", **files: str) -> None:
        """Add a package for `arches`, or all, and commit it; `Dockerfile` may use ${REGISTRY} and ${ORG}."""
        folder = self.directory / package
        folder.mkdir(exist_ok=True)
        yml = f"image: {package}\n" + (f"arches: [{arches}]\n" if arches else "")
        contents = {"build.yml": yml, "Dockerfile": BUSYBOX} | files
        for name, text in contents.items():
            (folder / name.replace("build_yml", "build.yml")).write_text(text)
        self.commit()

    def commit(self) -> None:
        git(self.directory, "add", "-A")
        git(self.directory, "commit", "-qm", "packages")

    def tag(self, package: str) -> str:
        """The tag of a committed package without extra sources: the hash of its tree."""
        return git(self.directory, "rev-parse", f"HEAD:{package}").decode()

    def reference(self, package: str) -> str:
        """NAME:TAG of such a package, as show-tag prints it."""
        return f"{self.org}/{package}:{self.tag(package)}"

    def tags(self, package: str) -> list[str]:
        """The tags that the registry holds of a package, sorted, without those that list attestations."""
        return [tag for tag in self.all_tags(package) if not tag.startswith("sha256-")]

    def all_tags(self, package: str) -> list[str]:
        """The tags that the registry holds of a package, sorted."""
        host, _, path = self.org.partition("/")
        answer = send("GET", f"http://{host}/v2/{path}/{package}/tags/list")
        return sorted(answer.json().get("tags") or [] if answer.status == HTTPStatus.OK else [])

    def platforms(self, reference: str) -> list[str]:
        """The architectures of an index in the registry, sorted."""
        members = self._manifest(reference).json()["manifests"]
        return sorted(one["platform"]["architecture"] for one in members)

    def digest(self, reference: str) -> str:
        """The digest of an index in the registry."""
        return self._manifest(reference).headers["Docker-Content-Digest"]

    def _manifest(self, reference: str) -> BaseHTTPResponse:
        name, _, tag = reference.rpartition(":")
        host, _, path = name.partition("/")
        return send("GET", f"http://{host}/v2/{path}/manifests/{tag}", headers=ACCEPT)

    def repositories(self) -> list[str]:
        """The packages of this organisation that the registry knows."""
        host, _, path = self.org.partition("/")
        names = send("GET", f"http://{host}/v2/_catalog?n=1000").json()["repositories"]
        return [name.removeprefix(f"{path}/") for name in names if name.startswith(f"{path}/")]


def read_until(process: subprocess.Popen[str], text: str) -> str:
    """Read a process's output until a line contains `text`, within pytest's time-out."""
    assert process.stdout is not None
    seen = ""
    for line in process.stdout:
        seen += line
        if text in line:
            return seen
    raise AssertionError(f"it ended without printing {text!r}:\n{seen}")
