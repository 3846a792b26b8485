"""Programs that the farm runs, and how they end."""

from __future__ import annotations

import fcntl
import io
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from farm.errors import FarmError

# The programs of a killed worker die with it: one that went on could publish although another worker has the
# lease by then. Only Linux can do that. Elsewhere plans are made and no worker runs.
DIE_WITH_PARENT: tuple[str, ...] = ("setpriv", "--pdeathsig", "KILL") if sys.platform == "linux" else ()
"""What a command line begins with, so that the kernel kills the program when its parent ends."""
TIE_PROGRAM = DIE_WITH_PARENT[:1]
"""The program that must be installed for that, where it works."""


def python(*words: str) -> list[str]:
    """The command line of this Python, which imports nothing from the current directory."""
    return [sys.executable, "-P", *words]


def run(
    command: Sequence[str],
    *,
    timeout: float,
    late: FarmError,
    given: bytes = b"",
    environment: Mapping[str, str] | None = None,
    own_session: bool = False,
    open_files: Sequence[int] = (),
) -> subprocess.CompletedProcess[bytes]:
    """Run a short program to its end; `given` is its standard input.

    After `timeout` seconds it is killed and `late` is raised. `environment` has all of its variables; None is
    for those of this process. With `own_session`, all that it started is killed along with it; it has no
    terminal then. It finds `open_files`, descriptors of this process, below /dev/fd. OSError: it cannot be
    started.
    """
    with running(command, environment=environment, own_session=own_session, open_files=open_files) as process:
        return finish(process, timeout=timeout, late=late, given=given)


@contextmanager
def running(
    command: Sequence[str],
    *,
    environment: Mapping[str, str] | None = None,
    own_session: bool = False,
    open_files: Sequence[int] = (),
) -> Iterator[subprocess.Popen[bytes]]:
    """Start a short program as `run` does, to do something else before `finish`.

    It is killed at the end if it was not finished, and after an error.
    """
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment,
        start_new_session=own_session,
        pass_fds=open_files,
    ) as process:
        finished = False
        try:
            yield process
            finished = process.poll() is not None
        finally:
            if not finished:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL) if own_session else process.kill()


def finish(
    process: subprocess.Popen[bytes], *, timeout: float, late: FarmError, given: bytes = b""
) -> subprocess.CompletedProcess[bytes]:
    """Give a program its standard input, and wait for its end as `run` does."""
    try:
        output, complaint = process.communicate(given, timeout)
    except subprocess.TimeoutExpired:
        # It carries the output so far, which may hold a passphrase.
        raise late from None
    return subprocess.CompletedProcess(process.args, process.returncode, output, complaint)


def read_in_bulk(pipe: IO[bytes], size: int) -> io.BufferedReader:
    """What a program writes into a pipe, from which nothing was read yet; does not close the pipe.

    It is read through a buffer of `size` bytes. The pipe holds as much, where the system permits it: with the
    usual 64 KiB, the program and this process often wait for each other.
    https://man7.org/linux/man-pages/man7/pipe.7.html
    """
    if sys.platform == "linux":
        with suppress(OSError):  # all pipes of a user together have a limit
            fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, size)
    return io.BufferedReader(io.FileIO(pipe.fileno(), closefd=False), size)


def decoded(done: subprocess.CompletedProcess[bytes]) -> subprocess.CompletedProcess[str]:
    """What a program printed, as text."""
    output, complaint = (part.decode(errors="replace") for part in (done.stdout, done.stderr))
    return subprocess.CompletedProcess(done.args, done.returncode, output, complaint)


def excerpt(output: bytes | str, length: int) -> str:
    """The end of what a program printed, in one line."""
    text = output if isinstance(output, str) else output.decode(errors="replace")
    return " ".join(text.split())[-length:]


def stop(processes: Iterable[subprocess.Popen[bytes]], *, wait: float) -> None:
    """Ask all of them to finish, wait for them together, kill those that still run after `wait` seconds."""
    running = [process for process in processes if process.poll() is None]
    for process in running:
        process.send_signal(signal.SIGTERM)
    deadline = time.monotonic() + wait
    for process in running:
        try:
            process.wait(timeout=max(0.1, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
