"""One HTTP/1.1 request to the engine, on a socket of its own, whose response is read as it arrives.

docker-py blocks while it reads a response. A build must serve its session, notice a cancellation and keep
its time limit meanwhile, so a selector waits on these sockets instead.
"""

from __future__ import annotations

import json
import math
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Self

import h11

from farm.errors import EngineUnavailableError

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterable, Iterator

# Longer than a TLS record (16 KiB, RFC 8446 section 5.1): one recv then takes all of a record. What OpenSSL
# had decrypted and kept back would be invisible to a selector, which would wait for more.
_CHUNK = 1 << 16
_LONGEST_LINE = 1 << 24
"""Bytes of one line of a response; the engine sends a build's log in lines of some kilobytes."""
_SWITCHING_PROTOCOLS = 101


@contextmanager
def translate_connection_errors(engine: str) -> Iterator[None]:
    """Translate the errors of a connection, one of which is bytes that are not HTTP, to the farm's."""
    try:
        yield
    except (OSError, h11.ProtocolError) as error:
        raise EngineUnavailableError(
            f"lost the connection to the Docker Engine at {engine}: {error}", hint="see the log of dockerd"
        ) from error


class Connection:
    """A request in progress: `receive` returns what has arrived; `ended` says that this was all."""

    def __init__(self, sock: socket.socket, engine: str) -> None:
        self.engine = engine
        self.status = 0
        self.expires = math.inf
        """When an answer must be complete that is read as a whole, by the monotonic clock."""
        self._socket = sock
        self._http = h11.Connection(h11.CLIENT)
        self._unfinished_line = bytearray()
        self._is_too_long = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection; the engine then cancels the build or push that it belongs to.

        https://docs.docker.com/reference/api/engine/version/v1.57/operations/ImageBuild/
        https://docs.docker.com/reference/api/engine/version/v1.57/operations/ImagePush/
        """
        self._socket.close()

    def fileno(self) -> int:
        """The descriptor that a selector waits on."""
        return self._socket.fileno()

    @property
    def ended(self) -> bool:
        """Whether the response is complete, or the engine closed the connection."""
        # MUST_CLOSE is DONE after `Connection: close`.
        return self._http.their_state in (h11.DONE, h11.CLOSED, h11.ERROR, h11.MUST_CLOSE)

    def request(self, method: str, target: str, headers: Iterable[tuple[str, str]] = ()) -> None:
        """Send a request without a body."""
        # HTTP/1.1 demands a Host (RFC 9112 section 3.2), even on a unix socket; the engine ignores its value.
        fields = [("Host", "docker"), ("Content-Length", "0"), *headers]
        with translate_connection_errors(self.engine):
            self._send(h11.Request(method=method, target=target, headers=fields))
            self._send(h11.EndOfMessage())

    def upgrade(self, method: str, target: str, headers: Iterable[tuple[str, str]] = ()) -> bytes:
        """Switch the connection to HTTP/2, and return what has arrived of that already.

        https://docs.docker.com/reference/api/engine/version/v1.57/operations/Session/
        """
        self.expires = time.monotonic() + (self._socket.gettimeout() or math.inf)
        self.request(method, target, [("Connection", "Upgrade"), ("Upgrade", "h2c"), *headers])
        with translate_connection_errors(self.engine):
            while (event := self._next_event()) is not None:
                if isinstance(event, h11.InformationalResponse) and event.status_code == _SWITCHING_PROTOCOLS:
                    # The engine is the HTTP/2 client and speaks first: its preface often comes in the same
                    # packet as the 101, and h11 has read it by now.
                    return self._http.trailing_data[0]
                if isinstance(event, h11.Response):
                    raise EngineUnavailableError(
                        f"the Docker Engine at {self.engine} answered {target} with {event.status_code}",
                        hint="the farm needs Docker Engine 20.10 or newer",
                    )
        raise EngineUnavailableError(
            f"the Docker Engine at {self.engine} closed the connection during {target}"
        )

    def send(self, data: bytes) -> None:
        """Write to an upgraded connection."""
        with translate_connection_errors(self.engine):
            self._socket.sendall(data)

    def read(self) -> bytes:
        """Wait for bytes on an upgraded connection, and return them; empty if the engine closed it."""
        with translate_connection_errors(self.engine):
            return self._socket.recv(_CHUNK)

    def read_in_time(self) -> bytes:
        """As `read`, of an answer that must be complete within the time limit that began with the upgrade."""
        with translate_connection_errors(self.engine):
            return self._receive_in_time()

    def _receive_in_time(self) -> bytes:
        # The time limit of a socket counts for one call: a byte a second would never exceed it.
        if time.monotonic() > self.expires:
            raise TimeoutError("the answer takes too long")
        return self._socket.recv(_CHUNK)

    def receive(self) -> list[dict[str, Any]]:
        """Wait for bytes of a response of JSON objects, one on each line; return the complete objects."""
        with translate_connection_errors(self.engine):
            self._http.receive_data(self._socket.recv(_CHUNK))
            body = b"".join(self._bodies())
        return [data for line in self._lines(body) if (data := json_object(line)) is not None]

    def _lines(self, body: bytes) -> Iterator[bytes]:
        """The lines that a piece of a response completes, without those that are too long."""
        # Chunks of the transfer coding end anywhere, also inside a line. Each byte is searched once.
        first, *others = body.split(b"\n")
        for number, part in enumerate((first, *others)):
            if number:
                yield from self._finish_line()
            self._is_too_long |= len(self._unfinished_line) + len(part) > _LONGEST_LINE
            self._unfinished_line += b"" if self._is_too_long else part
        # An error response is one object without a newline, so its end completes it.
        if self.ended:
            yield from self._finish_line()

    def _finish_line(self) -> Iterator[bytes]:
        line, is_too_long = bytes(self._unfinished_line), self._is_too_long
        self._unfinished_line.clear()
        self._is_too_long = False
        if not is_too_long:
            yield line

    def _send(self, event: h11.Event) -> None:
        self._socket.sendall(self._http.send(event) or b"")

    def _next_event(self) -> h11.Event | None:
        while (event := self._http.next_event()) is h11.NEED_DATA:
            self._http.receive_data(self._receive_in_time())
        return event if isinstance(event, h11.Event) else None

    def _bodies(self) -> Iterator[bytes]:
        # h11 returns its markers NEED_DATA and PAUSED, which have one type, where it has no further event.
        while not isinstance(event := self._http.next_event(), type(h11.NEED_DATA)):
            if isinstance(event, h11.Response):
                self.status = event.status_code
            elif isinstance(event, h11.Data):
                yield bytes(event.data)
            elif isinstance(event, h11.EndOfMessage | h11.ConnectionClosed):
                return


def json_object(line: bytes) -> dict[str, Any] | None:
    """A line as a JSON object; None for any other line, such as one of a proxy's HTML page."""
    try:
        data = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return data if isinstance(data, dict) else None
