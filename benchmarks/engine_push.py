"""The push of an image of 500 MB from the engine, beside skopeo: seconds, and all processors' time."""

from __future__ import annotations

import os
import subprocess
import time
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, NamedTuple

from benchmarks.measure import Ratio
from farm.builders.builder import Control
from farm.builders.docker_engine import Engine
from farm.builders.engine_builder import EngineBuilder
from farm.model import Reference
from farm.registry.client import open_registry
from farm.settings import Settings
from lab.lab import running_lab

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from lab.lab import Lab

_LAYERS, _SIZE = 5, 100 << 20
_ROUNDS = 3
_LIMIT = 600.0


class _Cost(NamedTuple):
    seconds: float
    cpu: float
    """Seconds for which the machine's processors worked, whoever for: the engine compresses."""


def rows() -> Iterator[Ratio]:
    """A new image each time, of which the registry has nothing, and which cannot be compressed."""
    farms, peers = [], []
    with redirect_stdout(StringIO()), running_lab() as lab:
        for number in range(_ROUNDS):
            name = Reference.parse(f"{lab.registry}/large:{number}")
            _build(lab, name)
            farms.append(_measured(lambda name=name: _push(lab, name)))  # type: ignore[misc]
            peers.append(_measured(lambda name=name: _skopeo(lab, name)))  # type: ignore[misc]
            _docker(lab, "rmi", "--force", str(name))
    what = f"push of {_LAYERS * _SIZE >> 20} MiB from the engine"
    for field, kind in zip(_Cost._fields, ("", ", processor time"), strict=True):
        here, there = ([getattr(cost, field) for cost in costs] for costs in (farms, peers))
        yield Ratio(what + kind, here, "skopeo copy", there, 1.0)


def _measured(call: Callable[[], None]) -> _Cost:
    busy, started = _busy(), time.monotonic()
    call()
    return _Cost(time.monotonic() - started, _busy() - busy)


def _busy() -> float:
    """https://man7.org/linux/man-pages/man5/proc_stat.5.html."""
    user, nice, system, _idle, _wait, interrupts, soft = map(
        int, Path("/proc/stat").read_text().split(maxsplit=8)[1:8]
    )
    return (user + nice + system + interrupts + soft) / os.sysconf("SC_CLK_TCK")


def _build(lab: Lab, name: Reference) -> None:
    with TemporaryDirectory(prefix="farm-b") as directory:
        for layer in range(_LAYERS):
            Path(directory, f"layer{layer}").write_bytes(os.urandom(_SIZE))
        copies = "".join(f"COPY layer{layer} /\n" for layer in range(_LAYERS))
        Path(directory, "Dockerfile").write_text(f"FROM scratch\n{copies}")
        _docker(lab, "build", "--quiet", "--tag", str(name), directory)


def _push(lab: Lab, name: Reference) -> None:
    control = Control(lambda _line: None, _LIMIT)
    settings = Settings(docker_config=lab.directory / "docker")
    with (
        Engine.connect(lab.engine_url, certs=None, timeout=60.0) as engine,
        open_registry(settings) as registry,
    ):
        EngineBuilder(engine, lambda _: None).push(name, control, silence=_LIMIT, registry=registry)


def _skopeo(lab: Lab, name: Reference) -> None:
    daemon = ["--src-daemon-host", lab.engine_url]
    target = f"docker://{name.name}-copy:{name.tag}"
    words = ["copy", "--quiet", *daemon, "--dest-tls-verify=false", f"docker-daemon:{name}", target]
    subprocess.run(["skopeo", *words], check=True, capture_output=True, timeout=_LIMIT)


def _docker(lab: Lab, *words: str) -> None:
    variables = os.environ | {"DOCKER_HOST": lab.engine_url, "DOCKER_BUILDKIT": "1"}
    subprocess.run([lab.docker_cli, *words], env=variables, check=True, capture_output=True, timeout=_LIMIT)
