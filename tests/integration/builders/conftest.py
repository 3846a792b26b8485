"""Real builds: engines, build contexts, registries; no test may leak sockets or threads."""

from __future__ import annotations

import gc
import io
import json
import os
import tarfile
import threading
import uuid
from collections.abc import Callable
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, Any, BinaryIO, cast

import pytest

from farm.builders.builder import BuildSpec, Control
from farm.builders.choice import choose_builder
from farm.builders.docker_engine import Engine
from farm.errors import EngineUnavailableError
from farm.model import Reference
from farm.registry.credentials import Credentials, Login
from farm.settings import Secret, Settings
from lab.engine import CONTAINERD, OVERLAY2
from lab.process import RESERVED
from lab.services import GUARDED_LOGIN
from tests.support import farm_command
from tests.support.buildx import install_buildx
from tests.support.proxy.loop import loop

if TYPE_CHECKING:
    from collections.abc import Iterator

    from farm.builders.builder import Builder
    from lab.lab import Lab
    from tests.conftest import Engines

LOGIN = Login(GUARDED_LOGIN[0], Secret(GUARDED_LOGIN[1]))
WRONG_LOGIN = Login("farm", Secret("wrong"))


wait_until = partial(farm_command.wait_until, seconds=10.0)


def command_lines() -> Iterator[tuple[int, str]]:
    """Every process of this machine, with its arguments between null characters."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            yield int(path.parent.name), path.read_bytes().decode(errors="replace")


def is_running(mark: str) -> bool:
    """Whether the process of a build step runs."""
    return any(mark in line.split("\0") for _, line in command_lines())


def sleeper() -> tuple[str, str]:
    """A Dockerfile that sleeps longer than any test, and the argument that identifies the process."""
    mark = str(100_000 + uuid.uuid4().int % 800_000)
    return f"FROM BASE\nRUN sleep {mark}\n", mark


def tar(files: dict[str, str]) -> BinaryIO:
    """A build context in a file."""
    packed = cast("BinaryIO", TemporaryFile())  # noqa: SIM115 - the caller closes it
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for name, text in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(text.encode()), 0o644
            archive.addfile(entry, io.BytesIO(text.encode()))
    packed.seek(0)
    return packed


@dataclass
class Bench:
    """A builder and its engine, with defaults for the arguments that do not matter to a test."""

    builder: Builder
    engine: Engine
    settings: Settings
    base: str
    registry: str
    log: list[str] = field(default_factory=list)
    made: list[tuple[Reference, str]] = field(default_factory=list)

    def name(self, host: str | None = None, arch: str = "amd64") -> Reference:
        """A new name, which is removed from the engine after the test."""
        self.made.append((Reference.parse(f"{host or self.registry}/test/{uuid.uuid4().hex}:1"), arch))
        return self.made[-1][0]

    def log_in(self, host: str, login: Login) -> None:
        """Do what `docker login` does on the worker."""
        config = {"auths": {host: {"auth": login.basic}}}
        (self.settings.docker_config / "config.json").write_text(json.dumps(config))

    def build(
        self,
        dockerfile: str,
        spec: BuildSpec | None = None,
        *,
        name: Reference | None = None,
        cancelled: Callable[[], bool] = lambda: False,
        timeout: float = 120.0,
        context: BinaryIO | None = None,
        **files: str,
    ) -> Reference:
        """Build a Dockerfile, with a base image for BASE; return the image's name."""
        spec = spec or BuildSpec("amd64", no_cache=True)
        name = name or self.name(arch=spec.arch)
        text = dockerfile.replace("BASE", self.base)
        with context or tar({"Dockerfile": text, **files}) as packed:
            control, spec = Control(self.log.append, timeout, cancelled), replace(spec, tags=(str(name),))
            try:
                self.builder.build(spec, packed, control)
            except EngineUnavailableError as error:
                # As a task does, when the engine has collected a layer that it was about to use.
                if "lost a layer" not in error.message:
                    raise
                packed.seek(0)
                self.builder.build(spec, packed, control)
        return name

    def publish(self, name: Reference, dockerfile: str = "FROM BASE\nRUN echo something > /file\n") -> None:
        """Build and push, as the farm does."""
        self.build(dockerfile, BuildSpec("amd64"), name=name)
        self.push(name)

    def push(self, name: Reference) -> None:
        """Push what was built."""
        self.builder.push(name, Control(self.log.append, 60.0), silence=60.0)

    def image(self, name: Reference) -> dict[str, Any]:
        """The engine's description of an image."""
        return self.engine.inspect(str(name))

    def printed(self) -> str:
        """The logs of all builds."""
        return "\n".join(self.log)


BUILDERS = {
    "engine": ("engine", None),
    "engine-26": ("engine", OVERLAY2),
    "engine-26-containerd": ("engine", CONTAINERD),
    "buildx": ("buildx", None),
    "buildx-26-containerd": ("buildx", CONTAINERD),
}
"""Every builder on every engine that makes a difference: the lab's, and a newer one with each image store."""


@contextmanager
def open_bench(lab: Lab, url: str, home: Path, **settings: Any) -> Iterator[Bench]:
    """A bench with an empty docker configuration, in which buildx is installed."""
    install_buildx(home / "docker")
    given = Settings(engine=url, docker_config=home / "docker", state_dir=home / "state", **settings)

    def login_for(host: str) -> Login | None:
        return Credentials.load(given.docker_config).login_for(host)

    with Engine.connect(url, timeout=30.0) as engine:
        bench = Bench(choose_builder(given, engine, login_for), engine, given, lab.base, lab.registry)
        yield bench
        for reference, arch in bench.made:
            bench.builder.remove_image(reference, arch)


@pytest.fixture(params=BUILDERS)
def any_bench(request: pytest.FixtureRequest, lab: Lab, engines: Engines, tmp_path: Path) -> Iterator[Bench]:
    """A bench for each builder and engine: all of them keep the same promises."""
    builder, kind = BUILDERS[request.param]
    with open_bench(lab, engines(kind), tmp_path, builder=builder) as bench:
        yield bench


@pytest.fixture
def bench(lab: Lab, tmp_path: Path) -> Iterator[Bench]:
    """A bench with the lab's engine and its BuildKit."""
    with open_bench(lab, lab.engine_url, tmp_path) as bench:
        yield bench


OpenBench = Callable[..., AbstractContextManager[Bench]]


@pytest.fixture
def opened(lab: Lab, tmp_path: Path) -> OpenBench:
    """Opens a bench with the lab's engine and further settings."""
    return partial(open_bench, lab, lab.engine_url, tmp_path)


@pytest.fixture(autouse=True)
def no_leaks(lab: Lab) -> Iterator[None]:
    """No threads or sockets outlive a test."""
    del lab
    loop()  # the proxies' thread, which outlives every test
    threads, sockets = threading.active_count(), _sockets()
    yield
    gc.collect()
    wait_until(lambda: threading.active_count() <= threads)
    assert _sockets() <= sockets


def _sockets() -> int:
    with os.scandir("/proc/self/fd") as entries:
        links = [os.readlink(entry.path) for entry in entries if os.path.islink(entry.path)]  # noqa: PTH114, PTH115 - descriptors come and go while they are listed
    return sum(link.startswith("socket:") for link in links) - len(RESERVED)
