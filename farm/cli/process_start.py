"""What the process of a command changes about itself before the verb runs: locale, pipes, signals, hooks."""

from __future__ import annotations

import errno
import io
import os
import signal
import sys
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, NoReturn

from farm.errors import OutputError, ReaderGoneError
from farm.syntax.printable import SafeText

if TYPE_CHECKING:
    from collections.abc import Iterator

    from _typeshed import ReadableBuffer

_SIGNALS = (signal.SIGTERM, signal.SIGHUP)
_OF_ONE_REPOSITORY = (
    *("GIT_DIR", "GIT_WORK_TREE", "GIT_IMPLICIT_WORK_TREE", "GIT_COMMON_DIR", "GIT_INDEX_FILE", "GIT_PREFIX"),
    "GIT_INTERNAL_SUPER_PREFIX",
    *("GIT_OBJECT_DIRECTORY", "GIT_ALTERNATE_OBJECT_DIRECTORIES", "GIT_SHALLOW_FILE", "GIT_GRAFT_FILE"),
    *("GIT_ATTR_SOURCE", "GIT_LITERAL_PATHSPECS", "GIT_GLOB_PATHSPECS", "GIT_NOGLOB_PATHSPECS"),
    "GIT_ICASE_PATHSPECS",
)
received: list[int] = []
"""The signal that ended the command, if one did."""


def prepare_process() -> None:
    """Make the process safe against its caller's locale, pipes, signals and git hooks."""
    _use_utf8()
    _open_standard_streams()
    # git sets these for its hooks and aliases; a package has the hash of its own repository, whatever the
    # caller's is. Variables of `git rev-parse --local-env-vars` that hold configuration stay: users set
    # safe.directory so.
    for name in _OF_ONE_REPOSITORY:
        os.environ.pop(name, None)
    for number in _SIGNALS:
        # nohup ignores SIGHUP, and that stays so.
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, _interrupt)
    sys.stdout = _text(_Output(io.FileIO(1, "wb", closefd=False)))
    # Click, and tracebacks, print there what farm.cli.output does not see.
    sys.stderr = SafeText.around(io.BufferedWriter(_Errors(2, "wb", closefd=False)))


def discard_output() -> None:
    """Drop what standard output still holds: it cannot be written, and Python would try again at the exit."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


def _use_utf8() -> None:
    """Start again in UTF-8 mode if the locale has another encoding.

    The paths in git and in build.yml are UTF-8, as is what other programs print. With another encoding,
    Python would look for other files.
    """
    if sys.getfilesystemencoding() != "utf-8":
        os.environ["PYTHONUTF8"] = "1"  # for the farm's own processes
        os.execv(sys.executable, [sys.executable, "-X", "utf8", *sys.orig_argv[1:]])  # noqa: S606 - itself


def _open_standard_streams() -> None:
    """Occupy the descriptors of closed streams: the next file would get one, and with it the output."""
    # Standard output is only readable then, so that what is printed is not lost without an error.
    for number, access in enumerate((os.O_RDONLY, os.O_RDONLY, os.O_WRONLY)):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, access), True)


def _interrupt(number: int, _: object) -> NoReturn:
    """End like Ctrl-C, which restores the terminal, prints what goes on, and removes temporary files."""
    received.append(number)
    for again in _SIGNALS:
        signal.signal(again, signal.SIG_DFL)  # a second one ends the process at once
    raise KeyboardInterrupt


def _text(buffer: io.BufferedWriter) -> io.TextIOWrapper:
    # A path may hold bytes that are not UTF-8: that is no reason to fail.
    return io.TextIOWrapper(buffer, encoding="utf-8", errors="backslashreplace", line_buffering=True)


class _Output(io.BufferedWriter):
    """Standard output; its errors are FarmErrors, for callers would take an OSError for one of a service."""

    # Not the raw file: after a signal in its `write` the buffer would write the same bytes again.

    def write(self, data: ReadableBuffer, /) -> int:
        with _translate_errors():
            return super().write(data)

    def flush(self) -> None:
        with _translate_errors():
            super().flush()


@contextmanager
def _translate_errors() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        kind = ReaderGoneError if error.errno == errno.EPIPE else OutputError
        why = "it is closed" if error.errno == errno.EBADF else error.strerror
        raise kind(f"standard output cannot be written: {why}") from error


class _Errors(io.FileIO):
    """Standard error; what cannot be written is dropped, and the work goes on."""

    def write(self, data: ReadableBuffer, /) -> int:
        with suppress(OSError):
            super().write(data)
        return memoryview(data).nbytes
