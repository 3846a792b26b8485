"""How long an answer may take: a time limit for all of it, which a long body extends while it arrives.

The time limit of a socket counts for one call that receives. So a peer that sends a byte a second would never
exceed it; here, each call gets what is left of the limit of the whole answer, its head included.
"""

from __future__ import annotations

import io
import math
import time
from http.client import HTTPResponse
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import socket

SLOWEST = 1 << 10
"""Bytes a second that a body must bring on average, where its size is not limited."""


class PacedResponse(HTTPResponse):
    """A response that must arrive within the time limit that its socket has when the request was sent."""

    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        buffer: Any = self.fp
        self.paced = _PacedReader(buffer.detach(), sock)
        self.fp = io.BufferedReader(self.paced)

    def extend_while_it_arrives(self, limit: float) -> None:
        """From now on, let this limit begin anew after each `SLOWEST` bytes for each of its seconds."""
        self.paced.begin(limit, SLOWEST * limit)


class _PacedReader(io.RawIOBase):
    def __init__(self, raw: io.RawIOBase, sock: socket.socket) -> None:
        self._raw, self._socket = raw, sock
        self.begin(sock.gettimeout() or 0.0)

    def begin(self, limit: float, enough: float = math.inf) -> None:
        """Begin a time limit, and the next one after enough bytes."""
        self._limit, self._enough = limit, enough
        self._ends, self._received = time.monotonic() + limit, 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int | None:
        left = self._ends - time.monotonic()
        if left <= 0:
            raise TimeoutError(f"the answer was not complete after {self._limit:.1f} s")
        self._socket.settimeout(left)
        count = self._raw.readinto(buffer)
        self._received += count or 0
        if self._received >= self._enough:
            self.begin(self._limit, self._enough)
        return int(count or 0)

    def close(self) -> None:
        self._raw.close()
        super().close()
