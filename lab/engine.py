"""The Docker Engine that the lab uses: the one that answers, or else one of its own."""

from __future__ import annotations

import os
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import docker
import docker.errors

from lab.process import LabError, Service
from lab.services import Located

if TYPE_CHECKING:
    from collections.abc import Callable

_USUAL = "unix:///var/run/docker.sock"
_BRIDGE = "farmlab"
_NETWORKS = range(1, 250)


def answering_engine() -> str | None:
    """The URL of the engine that this user would reach with `docker`, if it answers."""
    url = os.environ.get("DOCKER_HOST") or _USUAL
    return url if answers(url)() else None


def answers(url: str) -> Callable[[], bool]:
    """Whether an engine answers at a URL."""

    def ask() -> bool:
        try:
            client = docker.DockerClient(base_url=url, timeout=10)
        except (docker.errors.DockerException, OSError):
            return False
        with suppress(docker.errors.DockerException, OSError):
            client.ping()
            client.close()
            return True
        client.close()
        return False

    return ask


def own_engine(directory: Path) -> Located:
    """An engine with its own data, socket and bridge, so that it disturbs no other."""
    if os.geteuid() != 0:
        raise LabError("no Docker Engine answers, and only root can start one; start yours, or use sudo")
    home = directory / "engine"
    home.mkdir()
    socket = home / "docker.sock"
    url = f"unix://{socket}"
    command = ["dockerd", "--data-root", str(home / "data"), "--exec-root", str(home / "exec")]
    command += ["--pidfile", str(home / "dockerd.pid"), "--host", url, "--bridge", add_bridge()]
    # TERM, not KILL: dockerd ends its containerd, which nobody else would.
    return Located(Service("engine", command, directory, answers(url), last_signal="TERM"), url)


def bridge_name() -> str:
    """The name of this process's bridge, within the kernel's 15 characters."""
    return f"{_BRIDGE}{os.getpid()}"


def add_bridge() -> str:
    """Make a bridge in the first network of 10.213.0.0/16 that is free; those of dead labs are removed."""
    for link in Path("/sys/class/net").glob(f"{_BRIDGE}*"):
        if not Path("/proc", link.name.removeprefix(_BRIDGE)).exists():
            _ip("link", "delete", link.name)
    name = bridge_name()
    _ip("link", "add", "name", name, "type", "bridge")
    taken = subprocess.run(
        ["ip", "-o", "-4", "addr"], capture_output=True, text=True, check=False, timeout=30
    ).stdout
    number = next(one for one in _NETWORKS if f" 10.213.{one}." not in taken)
    _ip("addr", "add", f"10.213.{number}.1/24", "dev", name)
    _ip("link", "set", name, "up")
    return name


def remove_bridge() -> None:
    """Remove this process's bridge, if there is one."""
    if Path("/sys/class/net", bridge_name()).exists():
        _ip("link", "delete", bridge_name())


def _ip(*words: str) -> None:
    done = subprocess.run(["ip", *words], capture_output=True, text=True, check=False, timeout=30)
    if done.returncode:
        raise LabError(f"ip {' '.join(words)}: {done.stderr.strip()}")
