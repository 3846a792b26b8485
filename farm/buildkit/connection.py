"""One HTTP/1.1 request to the engine on a socket of its own, whose answer is taken bit by bit.

docker-py reads an answer by blocking; a build must meanwhile serve its session, see that it was cancelled
and keep its time, so these sockets are given to a selector instead.
"""

from __future__ import annotations

import json
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Self

import h11

from farm.errors import EngineUnavailableError

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterable, Iterator

Headers = list[tuple[str, str]]

_CHUNK = 1 << 16
_LONGEST_LINE = 1 << 26
"""Bytes of one line of an answer: a build's whole log passes in lines of some kilobytes."""
_SWITCHING = 101


@contextmanager
def translate_connection_errors(engine: str) -> Iterator[None]:
    """Tell a connection that fails as the engine being gone.

    Raises:
        EngineUnavailableError: the connection failed, was reset, or said what is not HTTP.
    """
    try:
        yield
    except (OSError, h11.ProtocolError) as error:
        raise EngineUnavailableError(
            f"the Docker Engine at {engine} went away: {error}", hint="see the log of dockerd"
        ) from error


class Connection:
    """A request under way: `receive` takes what has arrived, `ended` says that this was all."""

    def __init__(self, sock: socket.socket, engine: str) -> None:
        self.engine = engine
        self.status = 0
        self._socket = sock
        self._http = h11.Connection(h11.CLIENT)
        self._rest = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Drop the connection; the engine sees at once that nobody listens any more."""
        self._socket.close()

    def fileno(self) -> int:
        """The descriptor that a selector waits on."""
        return self._socket.fileno()

    @property
    def ended(self) -> bool:
        """Whether the answer is complete, or the engine closed the connection."""
        return self._http.their_state in (h11.DONE, h11.CLOSED, h11.ERROR, h11.MUST_CLOSE)

    def request(self, method: str, target: str, headers: Iterable[tuple[str, str]] = ()) -> None:
        """Send a request without a body."""
        fields = [("Host", "docker"), ("Content-Length", "0"), *headers]
        with translate_connection_errors(self.engine):
            self._send(h11.Request(method=method, target=target, headers=fields))
            self._send(h11.EndOfMessage())

    def upgrade(self, method: str, target: str, headers: Iterable[tuple[str, str]] = ()) -> bytes:
        """Turn the connection into one that speaks HTTP/2, and return what has come of it already.

        Raises:
            EngineUnavailableError: the engine went away, or refuses.
        """
        self.request(method, target, [("Connection", "Upgrade"), ("Upgrade", "h2c"), *headers])
        with translate_connection_errors(self.engine):
            while (event := self._next_event()) is not None:
                if isinstance(event, h11.InformationalResponse) and event.status_code == _SWITCHING:
                    return self._http.trailing_data[0]
                if isinstance(event, h11.Response):
                    raise EngineUnavailableError(
                        f"the Docker Engine at {self.engine} answered {target} with {event.status_code}",
                        hint="the farm needs Docker Engine 20.10 or newer",
                    )
        raise EngineUnavailableError(f"the Docker Engine at {self.engine} went away during {target}")

    def send(self, data: bytes) -> None:
        """Write to an upgraded connection."""
        with translate_connection_errors(self.engine):
            self._socket.sendall(data)

    def read(self) -> bytes:
        """What has arrived on an upgraded connection; waits for something; empty when it was closed."""
        with translate_connection_errors(self.engine):
            return self._socket.recv(_CHUNK)

    def receive(self) -> list[dict[str, Any]]:
        """Take what has arrived of an answer that is JSON objects line by line; waits for something."""
        with translate_connection_errors(self.engine):
            self._http.receive_data(self._socket.recv(_CHUNK))
            body = b"".join(self._bodies())
        *lines, self._rest = (self._rest + body).split(b"\n")
        if self.ended or len(self._rest) > _LONGEST_LINE:
            lines, self._rest = [*lines, self._rest], b""
        return [data for line in lines if (data := _parsed(line)) is not None]

    def _send(self, event: h11.Event) -> None:
        self._socket.sendall(self._http.send(event) or b"")

    def _next_event(self) -> h11.Event | None:
        while (event := self._http.next_event()) is h11.NEED_DATA:
            self._http.receive_data(self._socket.recv(_CHUNK))
        return event if isinstance(event, h11.Event) else None

    def _bodies(self) -> Iterator[bytes]:
        while not isinstance(event := self._http.next_event(), type(h11.NEED_DATA)):
            if isinstance(event, h11.Response):
                self.status = event.status_code
            elif isinstance(event, h11.Data):
                yield bytes(event.data)
            elif isinstance(event, h11.EndOfMessage | h11.ConnectionClosed):
                return


def _parsed(line: bytes) -> dict[str, Any] | None:
    """A line as a JSON object; None for what is none, such as a proxy's page of HTML."""
    try:
        data = json.loads(line)
    except ValueError:
        return None
    return data if isinstance(data, dict) else None
