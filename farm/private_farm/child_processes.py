"""The processes of a private farm: each stops with its parent and has a log file."""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from farm.errors import FarmError
from farm.system import processes, programs
from farm.system.identity import host_name

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from farm.private_farm.state_directory import StateDirectory

log = logging.getLogger(__name__)

STOP_WAIT = 20.0
"""Seconds that a process gets to finish before it is killed."""
_LONGEST_PAUSE = 30.0


@dataclass(slots=True)
class Child:
    """A process that is started again when it ends unasked."""

    name: str
    command: Sequence[str]
    log: Path
    environment: Mapping[str, str] = field(repr=False)
    process: subprocess.Popen[bytes] | None = None
    failures: int = 0
    not_before: float = 0.0
    """Monotonic time before which it is not started again."""

    def start(self) -> None:
        """Start the process, with its output appended to its log file."""
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                programs.stop_with_parent(self.command),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=dict(self.environment),
            )

    @property
    def running(self) -> bool:
        """Whether the process runs."""
        return self.process is not None and self.process.poll() is None

    def revive(self) -> None:
        """Start the process again if it ended, after pauses that double up to 30 s."""
        if self.running or time.monotonic() < self.not_before:
            return
        self.failures += 1
        self.not_before = time.monotonic() + min(2.0**self.failures, _LONGEST_PAUSE)
        log.warning("%s ended; starting it again (%d)", self.name, self.failures)
        self.start()

    def last_line(self) -> str:
        """The last line of its log; empty if there is none."""
        lines = self.log.read_text(errors="replace").strip().splitlines() if self.log.exists() else []
        return lines[-1] if lines else ""


def stop(children: Sequence[Child]) -> None:
    """Ask all of them to finish, wait for them together, and kill those that do not."""
    processes.stop([child.process for child in children if child.process], wait=STOP_WAIT)


def redis_child(directory: StateDirectory) -> Child:
    """A Redis that listens on a unix socket only and keeps an append-only file."""
    program = shutil.which("redis-server")
    if program is None:
        raise FarmError(
            "the program redis-server is not installed",
            hint="apt-get install redis-server, or set FARM_BROKER to a running Redis",
        )
    command = [program, "--port", "0", "--unixsocket", str(directory.socket), "--unixsocketperm", "700"]
    command += ["--dir", str(directory.directory), "--appendonly", "yes", "--save", "", "--daemonize", "no"]
    # Redis 7 reserves this much for a stream, and each job has one, for its log.
    command += ["--stream-node-max-bytes", "1024"]
    return Child("redis", command, directory.logs / "redis.log", {"PATH": os.defpath, "LC_ALL": "C"})


def worker_child(
    arches: Sequence[str], *, publish: bool, logs: Path, environment: Mapping[str, str]
) -> Child:
    """A worker for these architectures, or a publisher; the child has the worker's name."""
    role = "publisher" if publish else "builder"
    name = f"{role}@{host_name()}"
    return Child(name, worker_command(arches, publish=publish, name=name), logs / f"{role}.log", environment)


def worker_command(
    arches: Sequence[str], *, publish: bool, name: str | None = None, debug: bool = False
) -> list[str]:
    """The command line of a worker; farm must not import the package `workers`."""
    words = processes.python("-m", "workers")
    words += [word for arch in arches for word in ("--arch", arch)]
    words += ["--publish"] if publish else []
    words += ["--name", name] if name else []
    return words + (["--debug"] if debug else [])


def why_ended(child: Child) -> FarmError:
    """The error of a worker that ended at its start, from its exit code and the last line of its log."""
    message = child.last_line().removeprefix("farm worker: ")
    code = child.process.returncode if child.process else 1
    kinds = (kind for kind in FarmError.registry.values() if kind.exit_code == code)
    return next(kinds, FarmError)(
        message or f"the {child.name} ended with status {code}", hint=f"see {child.log}"
    )
