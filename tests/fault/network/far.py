"""A worker and a publisher on a host of their own, with an engine and a small disk, behind a network link."""

from __future__ import annotations

import subprocess
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lab.directory import own_directory
from lab.engine import answers
from lab.process import Service
from tests.fault.process import Process
from tests.fault.rig import Backend, Rig
from tests.support.namespaces import FarHost, far_host
from tests.support.proxy.upstream import Upstream

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.namespaces import Link

WORKER, PUBLISHER = "amd64-far", "publish-far"
DISK = 400 << 20
"""Bytes of the engine's disk."""


@dataclass(frozen=True)
class Far:
    """The host, and the farm whose only worker and only publisher run on it."""

    rig: Rig
    host: FarHost
    engine: Service
    disk: Path

    def wire(self, backend: Backend, process: str = WORKER) -> Link:
        """The link between a process and a service; all processes share the one to the registry."""
        return self.host.links[self.rig.proxy(process, backend).port]

    @property
    def wires(self) -> list[Link]:
        """All links that leave the host; the engine is on the host."""
        engine = self.wire(Backend.ENGINE)
        return [wire for wire in self.host.links.values() if wire is not engine]


@contextmanager
def far_farm(rig: Rig, **variables: str) -> Iterator[Far]:
    """A worker and a publisher on a far host, for a farm without others."""
    with ExitStack() as stack:
        home = stack.enter_context(own_directory())
        disk = home / "disk"
        url = f"unix://{disk}/docker.sock"
        # A proxy counts what a worker asks of its engine; no test breaks that connection.
        rig.upstreams[Backend.ENGINE] = Upstream(url)
        ports = {rig.proxy(name, backend).port for name in (WORKER, PUBLISHER) for backend in Backend}
        # The names of base images contain the port of the registry itself.
        ports.add(int(rig.lab.registry.rpartition(":")[2]))
        host = stack.enter_context(far_host(sorted(ports)))
        engine = Service("far-engine", _engine(host, disk, url), home, answers(url), last_signal="TERM")
        stack.callback(engine.stop)
        engine.start()
        for name, duty in ((WORKER, ("--arch", "amd64")), (PUBLISHER, ("--publish",))):
            process = _process(rig, host, name, ("worker", *duty, "--name", name), variables)
            stack.callback(process.stop)
            process.start()
        for name in (WORKER, PUBLISHER):
            rig.processes[name].wait_ready()
        yield Far(rig, host, engine, disk)


def _engine(host: FarHost, disk: Path, url: str) -> list[str]:
    """The command of the host's engine, whose data is on a disk of fixed size."""
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", str(disk)]
    subprocess.run(mount, check=True, capture_output=True, timeout=30)
    place = ["--data-root", f"{disk}/data", "--exec-root", f"{disk}/exec", "--pidfile", f"{disk}/pid"]
    return [*host.prefix, "dockerd", *place, "--host", url]


def _process(
    rig: Rig, host: FarHost, name: str, words: tuple[str, ...], variables: dict[str, str]
) -> Process:
    environment, log = rig.environment(name) | variables, rig.home / f"{name}.log"
    process = Process(name, words, rig.workspace.directory, log, environment, prefix=host.prefix)
    rig.processes[name] = process
    return process
