"""Real builds: an engine, contexts, a registry that asks for a login; nothing may leak from any test."""

from __future__ import annotations

import gc
import io
import os
import socket
import subprocess
import tarfile
import threading
import time
import uuid
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, BinaryIO, Protocol

import httpx
import pytest

from farm.build.build import build
from farm.build.engine import Engine
from farm.build.push import forget, push
from farm.build.spec import BuildSpec
from farm.model import Reference
from farm.registry.credentials import Login
from farm.settings import Secret

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


class Lab(Protocol):
    """What the laboratory's fixture offers."""

    engine_url: str
    registry: str
    base: str


# Password "s3cret" by bcrypt at its lowest cost.
_HTPASSWD = "farm:$2b$04$nvDS0AxlpatvSDT.xlonF.e2uYmEDgkTA4glV9iJBtzqLpJtakNKW\n"
LOGIN = Login("farm", Secret("s3cret"))
WRONG_LOGIN = Login("farm", Secret("wrong"))


def wait_until(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    """Wait for a condition; fails when it does not come true."""
    deadline = time.monotonic() + seconds
    pause = threading.Event()
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        pause.wait(0.02)


def tar(files: dict[str, str]) -> BinaryIO:
    """A build context."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for name, text in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(text.encode()), 0o644
            archive.addfile(entry, io.BytesIO(text.encode()))
    packed.seek(0)
    return packed


@dataclass
class Bench:
    """An engine to build on, with the arguments that a test does not care about filled in."""

    engine: Engine
    base: str
    log: list[str] = field(default_factory=list)
    tags: list[Reference] = field(default_factory=list)

    def name(self, host: str = "localhost:1") -> Reference:
        """A new name, which is taken out of the engine again."""
        self.tags.append(Reference.parse(f"{host}/test/{uuid.uuid4().hex}:1"))
        return self.tags[-1]

    def build(
        self,
        dockerfile: str,
        spec: BuildSpec | None = None,
        *,
        cancelled: Callable[[], bool] = lambda: False,
        timeout: float = 120.0,
        login: Login | None = None,
        context: BinaryIO | None = None,
        **files: str,
    ) -> str:
        """Build a Dockerfile in which BASE stands for a base image."""
        text = dockerfile.replace("BASE", self.base)
        return build(
            self.engine,
            spec or BuildSpec("amd64", no_cache=True),
            context or tar({"Dockerfile": text, **files}),
            log=self.log.append,
            cancelled=cancelled,
            timeout=timeout,
            credentials=lambda _: login,
        )

    def push(self, reference: Reference, login: Login | None = None, *, timeout: float = 60.0) -> str:
        """Push what was built."""
        return push(
            self.engine, reference, login, log=self.log.append, cancelled=lambda: False, timeout=timeout
        )

    def printed(self) -> str:
        """All that the build's steps said."""
        return "\n".join(self.log)


@pytest.fixture
def bench(lab: Lab) -> Iterator[Bench]:
    """A bench on the laboratory's engine."""
    with Engine.connect(lab.engine_url, timeout=30.0) as engine:
        bench = Bench(engine, lab.base)
        yield bench
        for reference in bench.tags:
            forget(engine, reference)


@pytest.fixture(autouse=True)
def nothing_leaks(lab: Lab) -> Iterator[None]:
    """Neither threads nor sockets outlive a test."""
    del lab
    threads, sockets = threading.active_count(), _sockets()
    yield
    gc.collect()
    wait_until(lambda: threading.active_count() <= threads)
    assert _sockets() <= sockets


def _sockets() -> int:
    with os.scandir("/proc/self/fd") as entries:
        links = [os.readlink(entry.path) for entry in entries if os.path.islink(entry.path)]  # noqa: PTH114, PTH115 - descriptors come and go while they are listed
    return sum(link.startswith("socket:") for link in links)


def free_port() -> int:
    """A port on loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="package")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A registry that asks for a login; its host:port."""
    folder = tmp_path_factory.mktemp("guarded")
    host = f"localhost:{free_port()}"
    (folder / "htpasswd").write_text(_HTPASSWD)
    (folder / "config.yml").write_text(_config(folder, host))
    with ExitStack() as stack:
        log = stack.enter_context((folder / "log").open("wb"))
        process = subprocess.Popen(
            ["docker-registry", "serve", str(folder / "config.yml")], stdout=log, stderr=log
        )
        stack.callback(process.wait, 10)
        stack.callback(process.terminate)
        wait_until(lambda: _answers(host))
        yield host


def _config(folder: Path, host: str) -> str:
    return f"""\
version: 0.1
storage: {{filesystem: {{rootdirectory: {folder}/data}}}}
auth: {{htpasswd: {{realm: test, path: {folder}/htpasswd}}}}
http: {{addr: "127.0.0.1:{host.rpartition(":")[2]}"}}
"""


def _answers(host: str) -> bool:
    try:
        return httpx.get(f"http://{host}/v2/").status_code == httpx.codes.UNAUTHORIZED
    except httpx.TransportError:
        return False
