"""Docker Engines: this machine's, if it answers, else one of the lab's own; and newer ones."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lab.debian import newer_engine
from lab.directory import bridge_of, networks_of, one_at_a_time
from lab.process import LabError, Service, answers_http
from lab.services import Located

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of engine that the lab can start, at most one of each in a lab."""

    name: str
    bridge: str
    """The part of its bridge's name that is in lab.directory.BRIDGES."""
    newer: bool = True
    """Whether it is the newer engine from the cache, and not this machine's."""
    containerd: bool = False
    """Whether containerd stores its images, which engines of 29 and later do by default."""


OWN = Kind("engine", "lab", newer=False)
OVERLAY2 = Kind("engine-26", "ovl")
CONTAINERD = Kind("engine-26-containerd", "ctd", containerd=True)
_USUAL = "unix:///var/run/docker.sock"
_NETWORKS = range(1, 250)
_STARTS = 3
"""Attempts to start an engine."""
_PATIENT_IPTABLES = """\
#!/bin/sh
# An engine that starts replaces the chains that all engines of this machine share.
for attempt in 1 2 3 4 5 6 7 8 9; do
    said=$({iptables} "$@" 2>&1) && {{ printf '%s' "${{said:+$said
}}"; exit 0; }}
    status=$?
    case " $* $said" in
        *" -I "*"No chain"* | *" -A "*"No chain"*) sleep 0.2 ;;
        *) break ;;
    esac
done
printf '%s\\n' "$said" >&2
exit $status
"""
"""An `iptables` that repeats to add a rule while its chain is missing."""


def answering_engine() -> str | None:
    """The URL of the engine that `docker` would use, if it answers."""
    url = os.environ.get("DOCKER_HOST") or _USUAL
    return url if answers(url)() else None


def answers(url: str) -> Callable[[], bool]:
    """A check whether an engine answers at a URL: unix:// or tcp://."""
    return answers_http(f"{url.replace('tcp://', 'http://')}/_ping" if url.startswith("tcp://") else url)


class EngineService(Service):
    """An engine of the lab's own; they start one at a time, as all create the same chains in iptables."""

    def launch(self) -> None:
        """Start it, and wait until it answers.

        Raises:
            LabError: as `wait`.
        """
        with one_at_a_time():
            for _ in range(_STARTS - 1):
                super().launch()
                try:
                    self.wait()
                except LabError as error:
                    # iptables-nft ignores --wait: a rule that another engine adds at the same moment, such as
                    # for a network of Compose, makes a command of this one fail, and dockerd ends.
                    if "iptables failed" not in str(error):
                        raise
                else:
                    return
            super().launch()
            self.wait()


def own_engine(
    home: Path, kind: Kind = OWN, *, trusting: Path | None = None, options: Sequence[str] = ()
) -> Located:
    """An engine with its own data, socket, bridge and networks, isolated from other engines.

    Args:
        home: the directory of its data and its socket.
        kind: the kind of engine.
        trusting: the CA certificates that it trusts, instead of the system's.
        options: further options of dockerd.

    Raises:
        LabError: this user may not start one.
    """
    if os.geteuid() != 0:
        raise LabError("no Docker Engine answers, and only root can start one: start it, or use sudo")
    data = home / kind.name
    data.mkdir()
    features = {"features": {"containerd-snapshotter": True}} if kind.containerd else {}
    (data / "daemon.json").write_text(json.dumps(features))
    url = f"unix://{data}/docker.sock"
    program = str(newer_engine()) if kind.newer else "dockerd"
    command = [program, "--data-root", str(data / "data"), "--exec-root", str(data / "exec")]
    command += ["--pidfile", str(data / "dockerd.pid"), "--host", url, "--bridge", add_bridge(home, kind)]
    networks = networks_of(address_of(home, kind))
    command += ["--config-file", str(data / "daemon.json")]
    command += ["--default-address-pool", f"base={networks}0/24,size=27", *options]
    trusted = [f"SSL_CERT_FILE={trusting}", "SSL_CERT_DIR=/nonexistent"] if trusting else []
    command = ["env", f"PATH={_patient_iptables(data)}:{os.environ['PATH']}", *trusted, *command]
    # TERM, not KILL: dockerd ends its containerd and its containers, which nothing else would.
    return Located(EngineService(kind.name, command, home, answers(url), last_signal="TERM"), url)


def _patient_iptables(home: Path) -> Path:
    """Write `_PATIENT_IPTABLES` into a directory for PATH; returns that."""
    shim = home / "bin" / "iptables"
    shim.parent.mkdir()
    shim.write_text(_PATIENT_IPTABLES.format(iptables=shutil.which("iptables") or "iptables"))
    shim.chmod(0o755)
    return shim.parent


@contextmanager
def running_engine(home: Path, kind: Kind) -> Iterator[str]:
    """Run a further engine in a lab's directory while the body runs; yields its URL."""
    part = own_engine(home, kind)
    try:
        part.service.start()
        yield part.address
    finally:
        part.service.stop()


def add_bridge(home: Path, kind: Kind = OWN) -> str:
    """Create an engine's bridge, unless it exists, in a free network of 10.213.0.0/16; returns its name."""
    name = bridge_of(home, kind.bridge)
    if Path("/sys/class/net", name).exists():
        return name
    # A bridge without a MAC address of its own takes that of a container, and loses it with the container.
    # Peers that cached the old address then have no connection for a while.
    own = f"02:fa{''.join(f':{byte:02x}' for byte in secrets.token_bytes(4))}"
    _ip("link", "add", "name", name, "address", own, "type", "bridge")
    with one_at_a_time():
        taken = _ip("-o", "-4", "addr")
        number = next(one for one in _NETWORKS if f" 10.213.{one}." not in taken)
        _ip("addr", "add", f"10.213.{number}.1/24", "dev", name)
    _ip("link", "set", name, "up")
    return name


def address_of(home: Path, kind: Kind = OWN) -> str:
    """The address of this machine for the containers of a lab's engine."""
    return _ip("-o", "-4", "addr", "show", "dev", bridge_of(home, kind.bridge)).split()[3].partition("/")[0]


def _ip(*words: str) -> str:
    done = subprocess.run(["ip", *words], capture_output=True, text=True, check=False, timeout=30)
    if done.returncode:
        raise LabError(f"`ip {' '.join(words)}` failed: {done.stderr.strip()}")
    return done.stdout
