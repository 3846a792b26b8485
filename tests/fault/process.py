"""A process of the farm: the installed command in a process group of its own, to be killed and frozen."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support.farm_command import FARM, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

# The kernel sends the parent's death signal when the thread that started a child ends.
_STARTER = ThreadPoolExecutor(1, "rig-starter")
_READY = " ready."


@dataclass(eq=False)
class Process:
    """`farm WORDS`, its output in a file."""

    name: str
    words: Sequence[str]
    directory: Path
    log: Path
    environment: Mapping[str, str] = field(repr=False)
    popen: subprocess.Popen[bytes] | None = field(default=None, repr=False)
    _from: int = 0
    """Where in the log this start's output begins."""

    def start(self) -> Process:
        """Start it, once more if it has ended."""
        assert not self.running
        self._from = self.log.stat().st_size if self.log.exists() else 0
        self.popen = _STARTER.submit(self._spawn).result()
        return self

    def _spawn(self) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as output:
            return subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", "--", FARM, *self.words],
                cwd=self.directory,
                env=dict(self.environment),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """Its process id, and that of its group."""
        assert self.popen is not None
        return self.popen.pid

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self.popen is not None and self.popen.poll() is None

    def said(self) -> str:
        """What it printed since it was started last."""
        with self.log.open("rb") as file:
            file.seek(self._from)
            return file.read().decode(errors="replace")

    def said_ever(self) -> str:
        """What it printed since it was started first."""
        return self.log.read_text(errors="replace")

    def wait_said(self, *patterns: str) -> None:
        """Wait until it has printed something like each of these since it was started last."""

        def missing() -> list[str]:
            return [pattern for pattern in patterns if not re.search(pattern, self.said())]

        wait_until(
            lambda: not missing(), otherwise=lambda: f"{self.name} never said {missing()}:\n{self.said()}"
        )

    def comes_up(self) -> bool:
        """Wait until it takes work, or has ended."""
        wait_until(lambda: _READY in self.said() or not self.running)
        return self.running

    def wait_ready(self) -> None:
        """Wait until it takes work."""
        assert self.comes_up(), f"{self.name} ended:\n{self.said()}"

    def wait(self, seconds: float = 120.0) -> int:
        """Wait until it has ended; returns its exit code."""
        assert self.popen is not None
        return self.popen.wait(seconds)

    def children(self) -> list[int]:
        """The processes that it started itself: a worker's are those that build and publish."""
        return [child for child, parent in _parents().items() if parent == self.pid]

    def kill(self) -> float:
        """End it and its group by SIGKILL; returns when, by the monotonic clock."""
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self.wait(10)
        return time.monotonic()

    def kill_child(self) -> bool:
        """End what it builds or publishes in by SIGKILL; returns whether there was anything."""
        children = self.children()
        for child in children:
            with suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
        return bool(children)

    def freeze(self) -> None:
        """Stop it and all that it started, as a machine that sleeps."""
        self._signal_all(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on from where it stood."""
        self._signal_all(signal.SIGCONT)

    def _signal_all(self, number: signal.Signals) -> None:
        for pid in descendants(self.pid):
            with suppress(ProcessLookupError):
                os.kill(pid, number)

    def stop(self, seconds: float = 30.0) -> None:
        """Ask it to finish, and end it when it does not."""
        if not self.running:
            return
        self.thaw()
        os.kill(self.pid, signal.SIGTERM)
        try:
            self.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()


def descendants(*pids: int) -> dict[int, int]:
    """All processes below some, however deep, each with the one of `pids` that it is below; those too."""
    parents, found = _parents(), {pid: pid for pid in pids}
    layer = found
    while layer := {child: layer[parent] for child, parent in parents.items() if parent in layer}:
        found = found | layer
    return found


def _parents() -> dict[int, int]:
    parents = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            text = stat.read_text()
            parents[int(stat.parent.name)] = int(text.rpartition(")")[2].split()[1])
    return parents


def process_of_connection(port: int, to: int, among: Iterable[int]) -> int | None:
    """Which of these processes holds the near end of a connection of loopback from `port` to port `to`."""
    inode = _inode_of_connection(port, to)
    link = f"socket:[{inode}]"
    for pid in among if inode else ():
        with suppress(OSError), os.scandir(f"/proc/{pid}/fd") as descriptors:
            for descriptor in descriptors:
                with suppress(OSError):
                    if os.readlink(descriptor.path) == link:  # noqa: PTH115 - many, and quickly gone
                        return pid
    return None


def _inode_of_connection(port: int, to: int) -> str | None:
    # One port is the near end of several connections, of some that are over too.
    ends = [f"0100007F:{port:04X}", f"0100007F:{to:04X}"]
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        words = line.split()
        if words[1:3] == ends:
            return words[9]
    return None
