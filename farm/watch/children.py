"""The programs that a watch runs, from any thread, until it ends: then they are stopped."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, NamedTuple

from farm.errors import CancelledError, FarmError
from farm.system.processes import stop
from farm.system.programs import stop_with_parent

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

_GRACE = 5.0
"""Seconds in which a program ends after SIGTERM."""
_LARGEST, _TAIL = 64 << 20, 1 << 16
"""Bytes of a program's output, and of the end of its messages, that are kept."""
_PIECE = 1 << 16


class Ended(NamedTuple):
    """How a program ended."""

    code: int
    output: bytes
    messages: bytes
    """The end of its standard error."""


@dataclass(eq=False)
class Children:
    """What runs at the moment."""

    _running: set[subprocess.Popen[bytes]] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _closed: bool = False

    def run(
        self,
        command: Sequence[str],
        *,
        environment: Mapping[str, str],
        timeout: float,
        late: FarmError,
        within: Path | None = None,
    ) -> Ended:
        """Run a program to its end, in a session of its own; nothing that it started is left.

        Raises:
            CancelledError: `close` has stopped it.
            FarmError: `late`, after `timeout` seconds; or it cannot be started.
        """
        process = self._start(command, environment, within)
        output, messages = _Reader(process.stdout, _LARGEST), _Reader(process.stderr, _TAIL, keep_end=True)
        try:
            _wait(process, output, time.monotonic() + timeout, late)
        finally:
            stop([process], wait=_GRACE)
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            with self._lock:
                self._running.discard(process)
            output.close()
            messages.close()
        if self._closed and process.returncode:
            raise _ended()
        return Ended(process.returncode, output.content, messages.content)

    def _start(
        self, command: Sequence[str], environment: Mapping[str, str], within: Path | None
    ) -> subprocess.Popen[bytes]:
        with self._lock:
            if self._closed:
                raise _ended()
            try:
                process = subprocess.Popen(
                    stop_with_parent(command),
                    cwd=within,
                    env=environment,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    start_new_session=True,
                )
            except OSError as error:
                raise FarmError(f"{command[0]} cannot be started: {error}") from error
            self._running.add(process)
        return process

    def close(self) -> None:
        """Stop what runs, and start nothing more."""
        with self._lock:
            self._closed = True
            running = list(self._running)
        stop(running, wait=_GRACE)


class _Reader(threading.Thread):
    """Reads a pipe, and keeps the beginning or the end of what comes."""

    def __init__(self, pipe: IO[bytes] | None, limit: int, *, keep_end: bool = False) -> None:
        super().__init__(daemon=True)
        if pipe is None:
            raise ValueError("the program was started without this pipe")
        self._pipe, self._limit, self._keep_end = pipe, limit, keep_end
        self._pieces: deque[bytes] = deque()
        self._size = 0
        self.is_too_long = False
        self.start()

    def run(self) -> None:
        """Read to the end."""
        with suppress(OSError, ValueError):
            while piece := os.read(self._pipe.fileno(), _PIECE):
                self._pieces.append(piece)
                self._size += len(piece)
                while self._size > self._limit:
                    self.is_too_long = not self._keep_end
                    self._size -= len(self._pieces.popleft())

    @property
    def content(self) -> bytes:
        """What was kept."""
        return b"".join(self._pieces)

    def close(self) -> None:
        """Wait for the end, which has come, and close the pipe."""
        self.join(_GRACE)
        self._pipe.close()


def _wait(process: subprocess.Popen[bytes], output: _Reader, until: float, late: FarmError) -> None:
    while True:
        try:
            process.wait(timeout=1.0)
        except subprocess.TimeoutExpired:
            if output.is_too_long:
                raise FarmError(f"a program printed more than {_LARGEST >> 20} MiB") from None
            if time.monotonic() > until:
                raise late from None
        else:
            return


def _ended() -> CancelledError:
    return CancelledError("the watch ends")
