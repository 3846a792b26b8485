"""A docker-buildx process: start it, read its output as it arrives, wait for its end."""

from __future__ import annotations

import subprocess
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Any

from farm.builders.buildx_progress import OutputParser
from farm.errors import ContextError
from farm.system.processes import DIE_WITH_PARENT

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

_CHUNK = 1 << 16
_EXIT_TIMEOUT = 10.0
"""Seconds that buildx may take to exit after it has closed its output."""


class BuildxProcess:
    """A running buildx as a source of messages; `ended` once it has closed its output."""

    def __init__(self, process: subprocess.Popen[bytes], pipe: IO[bytes]) -> None:
        self.ended = False
        self._process = process
        self._pipe = pipe
        self._parser = OutputParser()

    def fileno(self) -> int:
        """The descriptor that a selector waits on."""
        return self._pipe.fileno()

    def receive(self) -> list[dict[str, Any] | str]:
        """Wait for output, and return the complete objects and lines."""
        data = self._pipe.read(_CHUNK)
        if data:
            return list(self._parser.feed(data))
        self.ended = True
        return list(self._parser.flush())

    def status(self) -> int:
        """The exit status; negative for the signal that killed it."""
        try:
            return self._process.wait(_EXIT_TIMEOUT)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()


@contextmanager
def start(
    command_line: Sequence[str], environment: Mapping[str, str], context: IO[bytes]
) -> Iterator[BuildxProcess]:
    """Run buildx; leaving this early kills it, which cancels the build.

    Args:
        command_line: the program and its arguments.
        environment: all of its variables.
        context: its standard input, from the start of the file.

    Raises:
        ContextError: the context cannot be read.
    """
    try:
        # A second open file description, since the position in the file belongs to the description.
        with open(f"/proc/self/fd/{context.fileno()}", "rb") as stdin:  # noqa: PTH123 - no path, but a descriptor
            process = subprocess.Popen(
                [*DIE_WITH_PARENT, *command_line],
                env=dict(environment),
                stdin=stdin,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                bufsize=0,
            )
    except OSError as error:
        raise ContextError(f"the build context cannot be read: {error}") from error
    assert process.stderr is not None  # noqa: S101 - a pipe was asked for
    with process.stderr as pipe:
        try:
            yield BuildxProcess(process, pipe)
        finally:
            process.kill()
            process.wait()
