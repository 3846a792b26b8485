"""Processes of the lab: each ends with the lab, has a log file, and can be stopped and started again."""

from __future__ import annotations

import errno
import http.client
import random
import signal
import socket
import ssl
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, urlsplit

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

START_WAIT = 30.0
STOP_WAIT = 20.0
_ANSWER_WAIT = 5.0
_LOWEST_PORT = 10_000
"""Above the ports of most services that a machine may start later."""
_EPHEMERAL_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")
_PORT_ATTEMPTS = 100
RESERVED: list[int] = []
"""Descriptors of UDP sockets on the ports that this process has taken: the kernel frees them when it ends."""
# The kernel sends the parent-death signal when the thread that started the child ends (PR_SET_PDEATHSIG in
# prctl(2)), so one thread, which lives as long as the lab, starts all.
_STARTER = ThreadPoolExecutor(1, "lab-starter")


class LabError(Exception):
    """A part of the lab that does not start, in one sentence."""


def free_port() -> int:
    """A port on which nothing listens; no other process gets it from this function while this one lives.

    It is none that the kernel gives to outgoing connections, if there are others: otherwise a service that is
    started, or started again, could find it taken.
    https://docs.kernel.org/networking/ip-sysctl.html (ip_local_port_range)

    Raises:
        LabError: every port that was tried is taken.
    """
    first, last = map(int, _EPHEMERAL_RANGE.read_text().split())
    outside: list[int] = [*range(_LOWEST_PORT, first), *range(last + 1, 1 << 16)] or [
        *range(_LOWEST_PORT, 1 << 16)
    ]
    for port in random.sample(outside, min(len(outside), _PORT_ATTEMPTS)):
        reserved = socket.socket(type=socket.SOCK_DGRAM)
        try:
            reserved.bind(("127.0.0.1", port))
            with socket.socket() as probe:
                probe.bind(("", port))
        except OSError as error:
            reserved.close()
            if error.errno != errno.EADDRINUSE:
                raise
        else:
            RESERVED.append(reserved.detach())
            return port
    raise LabError(f"no port is free: {_PORT_ATTEMPTS} were tried")


def descendants(*pids: int) -> dict[int, int]:
    """All descendants of some processes, and these, each with its ancestor among `pids`."""
    above, found = parents(), {pid: pid for pid in pids}
    layer = found
    while layer := {child: layer[parent] for child, parent in above.items() if parent in layer}:
        found = found | layer
    return found


def parents() -> dict[int, int]:
    """The parent of each process of this machine."""
    found = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            text = stat.read_text()
            found[int(stat.parent.name)] = int(text.rpartition(")")[2].split()[1])
    return found


@dataclass
class Service:
    """One service, which any thread may stop and start again; `answers` checks whether it is up."""

    name: str
    command: Sequence[str]
    directory: Path
    answers: Callable[[], bool]
    last_signal: str = "KILL"
    """The signal that it gets when the lab is killed; one with children needs TERM, to end them."""
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)
    _changing: threading.RLock = field(default_factory=threading.RLock, repr=False)

    @property
    def log(self) -> Path:
        """The file with its output."""
        return self.directory / f"{self.name}.log"

    @property
    def ended(self) -> bool:
        """Whether it has ended without being stopped."""
        with self._changing:
            return self.process is not None and self.process.poll() is not None

    def start(self) -> None:
        """Start the process, and wait until it answers.

        Raises:
            LabError: as `wait`.
        """
        with self._changing:
            self.launch()
            self.wait()

    def launch(self) -> None:
        """Start the process, unless it runs, without waiting."""
        with self._changing:
            if self.process is None or self.process.poll() is not None:
                self.process = _STARTER.submit(self._spawn).result()

    def _spawn(self) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as output:
            return subprocess.Popen(
                ["setpriv", "--pdeathsig", self.last_signal, "--", *self.command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=self.directory,
                # Ctrl-C goes to the lab, which then stops its services in order.
                start_new_session=True,
            )

    def wait(self) -> None:
        """Wait until it answers.

        Raises:
            LabError: it ended, or did not answer in time; the message shows its last lines.
        """
        deadline = time.monotonic() + START_WAIT
        while not self.answers():
            if self.ended:
                raise LabError(self.failure("ended"))
            if time.monotonic() > deadline:
                raise LabError(self.failure(f"did not answer within {START_WAIT:.0f} s"))
            time.sleep(0.02)

    def failure(self, what: str) -> str:
        """A message that says what happened to it, and shows its last lines."""
        lines = self.log.read_text(errors="replace").splitlines()[-8:] if self.log.exists() else []
        return "\n    ".join([f"{self.name} {what}" + (":" if lines else ""), *lines])

    def stop(self) -> None:
        """Terminate the process; kill it if it does not end in time."""
        with self._changing:
            if self.process is None:
                return
            if self.process.poll() is None:
                # A process that a test has frozen would not receive the signal.
                self.process.send_signal(signal.SIGCONT)
                self.process.terminate()
            try:
                self.process.wait(STOP_WAIT)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
            self.process = None


def answers_http(url: str, *, statuses: Sequence[int] = (200,)) -> Callable[[], bool]:
    """A check whether a URL is answered with one of these statuses, with any certificate.

    unix:///PATH is an engine's socket.
    """
    parts = urlsplit(url)

    def ask() -> bool:
        connection = _connection(parts)
        try:
            connection.request("GET", "/_ping" if parts.scheme == "unix" else parts.path)
            return connection.getresponse().status in statuses
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    return ask


def _connection(url: SplitResult) -> http.client.HTTPConnection:
    if url.scheme == "unix":
        return UnixConnection(url.path)
    if url.scheme == "https":
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        return http.client.HTTPSConnection(url.netloc, timeout=_ANSWER_WAIT, context=context)
    return http.client.HTTPConnection(url.netloc, timeout=_ANSWER_WAIT)


class UnixConnection(http.client.HTTPConnection):
    """HTTP over a unix socket."""

    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=_ANSWER_WAIT)
        self._path = path

    def connect(self) -> None:
        """Connect to the socket."""
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)
