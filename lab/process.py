"""Processes of the lab: each dies with the lab, has its log file, and can be stopped and started again."""

from __future__ import annotations

import signal
import socket
import subprocess
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import httpx

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

START_WAIT = 30.0
STOP_WAIT = 20.0


class LabError(Exception):
    """A part of the lab that does not come up, in one sentence."""


def free_port() -> int:
    """A port on loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Service:
    """One service; `answers` says whether it is up."""

    name: str
    command: Sequence[str]
    directory: Path
    answers: Callable[[], bool]
    last_signal: str = "KILL"
    """What it is sent when the lab is killed; one that has children of its own is asked to end them."""
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def log(self) -> Path:
        """Where its output goes."""
        return self.directory / f"{self.name}.log"

    def launch(self) -> None:
        """Start the process, and do not wait."""
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                ["setpriv", "--pdeathsig", self.last_signal, "--", *self.command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=self.directory,
                # Ctrl-C is for the lab, which then takes its services down in order.
                start_new_session=True,
            )

    def wait(self) -> None:
        """Wait until it answers.

        Raises:
            LabError: it ended, or did not answer in time; the message shows its last lines.
        """
        deadline = time.monotonic() + START_WAIT
        while not self.answers():
            ended = self.process is None or self.process.poll() is not None
            if ended or time.monotonic() > deadline:
                last = "\n    ".join(self.log.read_text(errors="replace").splitlines()[-8:])
                raise LabError(f"{self.name} {'ended' if ended else 'does not answer'}:\n    {last}")
            time.sleep(0.02)

    def start(self) -> None:
        """Start the process, and wait until it answers."""
        self.launch()
        self.wait()

    def stop(self) -> None:
        """End the process; one that does not end in time is killed."""
        if self.process is None:
            return
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.terminate()
        try:
            self.process.wait(STOP_WAIT)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process = None


def answers_http(url: str, *, verify: bool = True, statuses: Sequence[int] = (200,)) -> Callable[[], bool]:
    """Whether a URL is answered with one of these statuses."""

    def ask() -> bool:
        try:
            answer = httpx.get(url, verify=verify, trust_env=False, timeout=5)
        except httpx.TransportError:
            return False
        return answer.status_code in statuses

    return ask
