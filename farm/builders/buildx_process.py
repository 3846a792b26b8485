"""The process of a docker-buildx: its start, what it prints piece by piece, and its end."""

from __future__ import annotations

import subprocess
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Any

from farm.builders.buildx_progress import Splitter
from farm.errors import ContextError
from farm.system.processes import DIE_WITH_PARENT

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

_CHUNK = 1 << 16
_END = 10.0
"""Seconds that buildx may take to end once it has said its last word."""


class Running:
    """What a running buildx prints, in pieces; `ended` once it has closed its output."""

    def __init__(self, process: subprocess.Popen[bytes], pipe: IO[bytes]) -> None:
        self.ended = False
        self._process = process
        self._pipe = pipe
        self._splitter = Splitter()

    def fileno(self) -> int:
        """The descriptor that a selector waits on."""
        return self._pipe.fileno()

    def receive(self) -> list[dict[str, Any] | str]:
        """Objects and lines that are complete; waits for something."""
        data = self._pipe.read(_CHUNK)
        if data:
            return list(self._splitter.feed(data))
        self.ended = True
        return list(self._splitter.flush())

    def status(self) -> int:
        """How it ended; negative for the signal that killed it."""
        try:
            return self._process.wait(_END)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()


@contextmanager
def started(words: Sequence[str], environment: Mapping[str, str], context: IO[bytes]) -> Iterator[Running]:
    """A buildx under way, which ends the build when it is killed, as it is when this is left early.

    Args:
        words: its command line.
        environment: all of its variables.
        context: what it reads on its standard input, from the start.

    Raises:
        ContextError: it cannot be started on that context.
    """
    try:
        # A description of its own, for the place in the file belongs to the description.
        with open(f"/proc/self/fd/{context.fileno()}", "rb") as packed:  # noqa: PTH123 - no path, but a descriptor
            process = subprocess.Popen(
                [*DIE_WITH_PARENT, *words],
                env=dict(environment),
                stdin=packed,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                bufsize=0,
            )
    except OSError as error:
        raise ContextError(f"the build context cannot be read: {error}") from error
    assert process.stderr is not None  # noqa: S101 - a pipe was asked for
    with process.stderr as pipe:
        try:
            yield Running(process, pipe)
        finally:
            process.kill()
            process.wait()
