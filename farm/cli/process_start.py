"""What the process of a command changes about itself before the verb runs: output, signals, environment."""

from __future__ import annotations

import io
import os
import signal
import sys
from typing import TYPE_CHECKING, NoReturn

from farm.errors import OutputError

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

_SIGNALS = (signal.SIGTERM, signal.SIGHUP)
_OF_ONE_REPOSITORY = (
    *("GIT_DIR", "GIT_WORK_TREE", "GIT_IMPLICIT_WORK_TREE", "GIT_COMMON_DIR", "GIT_INDEX_FILE", "GIT_PREFIX"),
    *("GIT_OBJECT_DIRECTORY", "GIT_ALTERNATE_OBJECT_DIRECTORIES", "GIT_SHALLOW_FILE", "GIT_GRAFT_FILE"),
)
received: list[int] = []
"""The signal that ended the command, if one did."""


def prepare_process() -> None:
    """Make the process safe against its caller's pipes, signals, locale and git hooks."""
    # git sets these for its hooks; a package has the hash of its own repository, whatever the caller's is.
    # Those of `git rev-parse --local-env-vars` that hold configuration stay: users set safe.directory so.
    for name in _OF_ONE_REPOSITORY:
        os.environ.pop(name, None)
    for number in _SIGNALS:
        # nohup ignores SIGHUP, and that stays so.
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, _interrupt)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout = _replace(sys.stdout)


def discard_output() -> None:
    """Drop what standard output still holds: it cannot be written, and Python would try again at the exit."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


def _interrupt(number: int, _: object) -> NoReturn:
    """End like Ctrl-C, which restores the terminal, prints what goes on, and removes temporary files."""
    received.append(number)
    raise KeyboardInterrupt


def _replace(stream: io.TextIOWrapper) -> io.TextIOWrapper:
    # A locale's encoding may lack a character of a name or message: that is no reason to fail.
    return io.TextIOWrapper(
        io.BufferedWriter(_Output(stream.fileno(), "wb", closefd=False)),
        encoding=stream.encoding,
        errors="backslashreplace",
        line_buffering=stream.line_buffering,
    )


class _Output(io.FileIO):
    """Standard output; its errors are FarmErrors, for callers would take an OSError for one of a service."""

    def write(self, data: ReadableBuffer, /) -> int:
        try:
            return super().write(data)
        except BrokenPipeError:
            raise
        except OSError as error:
            raise OutputError(f"standard output cannot be written: {error.strerror}") from error
