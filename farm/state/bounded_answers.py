"""Answers of Redis, read in bounded memory, whatever somebody has stored there.

redis-py reads an answer completely, of any size, and keeps copies of it while it decodes. Here a value that
is larger than any that the farm stores is read and thrown away in pieces, and the answer that contains it is
an error; an answer with more values than the farm ever stores ends the connection.
"""

from __future__ import annotations

from typing import Any, ClassVar

from redis._parsers import _RESP3Parser
from redis._parsers.socket import SocketBuffer
from redis.exceptions import RedisError, ResponseError
from redis.utils import SENTINEL

MAX_VALUE = 16 << 20
"""Bytes of one value of the farm's state, such as a piece of a build context or a package's work."""
MAX_VALUES = 1 << 22
"""Values in one answer, such as the records of a run with ten thousand packages."""
MAX_ANSWER = 256 << 20
"""Bytes of all values in one answer."""
_AGGREGATES = b"*~%>"


class OversizedValueError(ResponseError):
    """A value in an answer is too large; the connection is as usable as before."""


class OversizedAnswerError(RedisError):
    """An answer has too many values; its connection is closed."""


class _Buffer(SocketBuffer):
    """What arrives on a socket, without large values."""

    def __init__(self, *arguments: Any, largest: int) -> None:
        super().__init__(*arguments)
        self._largest = largest
        self.begin()

    def begin(self) -> None:
        """Begin an answer."""
        self.oversized = 0
        """Bytes of the largest value that was thrown away."""
        self._values, self._bytes = MAX_VALUES, MAX_ANSWER

    def readline(self, timeout: float | object = SENTINEL) -> bytes:
        """Read a line, and refuse one that announces too many values."""
        line = super().readline(timeout=timeout)
        if line[:1] in _AGGREGATES and line[1:].isdigit():
            self._values -= int(line[1:])
            if self._values < 0:
                raise OversizedAnswerError(f"an answer of more than {MAX_VALUES} values")
        return line

    def read(self, length: int, timeout: float | object = SENTINEL) -> bytes:
        """Read a value; a large one is empty."""
        self._bytes -= length
        if length <= self._largest and self._bytes >= 0:
            return super().read(length, timeout=timeout)
        self.oversized = max(self.oversized, length)
        missing = length + len(b"\r\n")
        missing -= len(self._buffer.read(missing))
        while missing:
            self._buffer.seek(0)
            self._buffer.truncate()
            self._read_from_socket(timeout=timeout)
            missing -= len(self._buffer.read(missing))
        return b""


class BoundedParser(_RESP3Parser):
    """redis-py's parser of RESP3, which redis-py 8 speaks by default, with such a buffer."""

    largest: ClassVar[int] = MAX_VALUE
    _buffer: _Buffer | None

    def on_connect(self, connection: Any) -> None:
        """Prepare for a connection."""
        super().on_connect(connection)  # type: ignore[no-untyped-call]
        self._buffer = _Buffer(
            self._sock, self.socket_read_size, connection.socket_timeout, largest=self.largest
        )

    def read_response(self, *arguments: Any, **options: Any) -> Any:
        """Read an answer; an OversizedValueError in its place if it contains a large value."""
        if buffer := self._buffer:
            buffer.begin()
        answer = super().read_response(*arguments, **options)
        if buffer and buffer.oversized:
            return OversizedValueError(f"a value of {buffer.oversized} bytes, more than the farm stores")
        return answer


BOUNDED: dict[str, Any] = {"parser_class": BoundedParser}
"""The options of a connection to Redis that reads in bounded memory."""
