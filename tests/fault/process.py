"""A process of the farm: the installed command in a process group, which a test kills or freezes."""

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

from lab.process import descendants, parents
from tests.support.farm_command import FARM, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

# The kernel sends the parent's death signal when the thread that started a child ends.
_STARTER = ThreadPoolExecutor(1, "rig-starter")


@dataclass(eq=False)
class Process:
    """`farm WORDS`, its output in a file."""

    name: str
    words: Sequence[str]
    directory: Path
    log: Path
    environment: Mapping[str, str] = field(repr=False)
    prefix: Sequence[str] = ()
    """The command that runs it in a namespace."""
    popen: subprocess.Popen[bytes] | None = field(default=None, repr=False)
    starts: list[float] = field(default_factory=list)
    """When it was started, each time: monotonic times."""
    _from: int = 0
    """Offset in the log of the output since the last start."""

    def start(self) -> Process:
        """Start it, or start it again."""
        assert not self.running
        self._from = self.log.stat().st_size if self.log.exists() else 0
        self.starts.append(time.monotonic())
        self.popen = _STARTER.submit(self._spawn).result()
        return self

    def _spawn(self) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as output:
            return subprocess.Popen(
                [*self.prefix, "setpriv", "--pdeathsig", "KILL", "--", FARM, *self.words],
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
        return self.popen is not None and self.popen.poll() is None

    def said(self) -> str:
        """What it has printed since its last start."""
        with self.log.open("rb") as file:
            file.seek(self._from)
            return file.read().decode(errors="replace")

    def wait_said(self, *patterns: str) -> None:
        """Wait until its output since the last start matches each of these patterns."""

        def missing() -> list[str]:
            return [pattern for pattern in patterns if not re.search(pattern, self.said())]

        wait_until(
            lambda: not missing(), otherwise=lambda: f"{self.name} never printed {missing()}:\n{self.said()}"
        )

    def comes_up(self) -> bool:
        """Wait until it is ready for work, or has ended; returns whether it runs."""
        wait_until(lambda: " ready." in self.said() or not self.running)
        return self.running

    def wait_ready(self) -> None:
        assert self.comes_up(), f"{self.name} ended:\n{self.said()}"

    def wait(self, seconds: float = 120.0) -> int:
        assert self.popen is not None
        return self.popen.wait(seconds)

    def children(self) -> list[int]:
        """The processes that it started; those of a worker build and publish."""
        return [child for child, parent in parents().items() if parent == self.pid]

    def kill(self) -> float:
        """Kill it and its group; returns the monotonic time."""
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self.wait(10)
        return time.monotonic()

    def kill_child(self) -> bool:
        """Kill the processes in which it builds or publishes; returns whether there were any."""
        children = self.children()
        for child in children:
            with suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
        return bool(children)

    def freeze(self) -> None:
        """Stop it and all its descendants, as when a machine sleeps."""
        self._signal_all(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal_all(signal.SIGCONT)

    def _signal_all(self, number: signal.Signals) -> None:
        for pid in descendants(self.pid):
            with suppress(ProcessLookupError):
                os.kill(pid, number)

    def stop(self, seconds: float = 30.0) -> None:
        """Ask it to end, and kill it if it does not."""
        if not self.running:
            return
        self.thaw()
        os.kill(self.pid, signal.SIGTERM)
        try:
            self.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()


def process_of_connection(port: int, to: int, among: Iterable[int]) -> int | None:
    """The process among these that holds the loopback connection from `port` to port `to`."""
    ends = [f"0100007F:{end:04X}" for end in (port, to)]
    # One port may have several connections, including closed ones.
    connections = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()]
    sockets = {f"socket:[{words[9]}]" for words in connections if words[1:3] == ends}
    for pid in among if sockets else ():
        with suppress(OSError):
            for descriptor in Path(f"/proc/{pid}/fd").iterdir():
                with suppress(OSError):
                    if str(descriptor.readlink()) in sockets:
                        return pid
    return None
