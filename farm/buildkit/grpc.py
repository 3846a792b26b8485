"""gRPC over HTTP/2 without sockets: bytes in, bytes out. The engine is the client of what is served here."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from typing import TYPE_CHECKING

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions

from farm.errors import EngineUnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

_PREFIX = 5
_LARGEST_REQUEST = 1 << 20


class Status(IntEnum):
    """The gRPC status codes that are used here."""

    OK = 0
    NOT_FOUND = 5
    UNIMPLEMENTED = 12


class RefusedError(Exception):
    """What a handler raises to answer with a status instead of messages."""

    def __init__(self, status: Status, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


@dataclass(frozen=True, slots=True)
class Method:
    """One served method: takes the call's headers and its one message, gives messages.

    `streaming` says that the engine sends no message and the answer begins with the headers alone.
    """

    handle: Callable[[Mapping[str, str], bytes], Iterator[bytes]]
    streaming: bool = False


@dataclass(slots=True)
class _Call:
    method: Method
    headers: dict[str, str]
    received: bytearray = field(default_factory=bytearray)
    answer: Iterator[bytes] | None = None
    unsent: bytes = b""


def frame(message: bytes) -> bytes:
    """A message as gRPC carries it: not compressed, its length in front."""
    return b"\x00" + len(message).to_bytes(4) + message


def unframe(data: bytes) -> bytes:
    """The first message of a gRPC body; empty where there is none."""
    return data[_PREFIX : _PREFIX + int.from_bytes(data[1:_PREFIX])]


class Server:
    """Answers calls on one HTTP/2 connection, each only as fast as the engine takes the answer."""

    def __init__(self, methods: Mapping[str, Method]) -> None:
        self._methods = methods
        self._calls: dict[int, _Call] = {}
        config = h2.config.H2Configuration(client_side=False, header_encoding="utf-8")
        self._http = h2.connection.H2Connection(config)
        self._http.initiate_connection()

    def receive(self, data: bytes) -> Iterator[bytes]:
        """Take what the engine sent; yields what to send back, piece by piece.

        Raises:
            EngineUnavailableError: the engine does not speak HTTP/2.
        """
        try:
            for event in self._http.receive_data(data) if data else ():
                self._take(event)
            yield self._http.data_to_send()
            yield from self._pump()
        except h2.exceptions.ProtocolError as error:
            raise EngineUnavailableError(f"the Docker Engine broke off its session: {error}") from error

    def _take(self, event: h2.events.Event) -> None:
        if isinstance(event, h2.events.RequestReceived):
            self._open(event)
        elif isinstance(event, h2.events.DataReceived):
            self._collect(event)
        elif isinstance(event, h2.events.StreamEnded) and event.stream_id in self._calls:
            self._begin(self._calls[event.stream_id])
        elif isinstance(event, h2.events.StreamReset):
            self._calls.pop(event.stream_id, None)

    def _open(self, event: h2.events.RequestReceived) -> None:
        headers = {str(name): str(value) for name, value in event.headers}
        method = self._methods.get(headers.get(":path", ""))
        self._http.send_headers(event.stream_id, [(":status", "200"), ("content-type", "application/grpc")])
        if method is None:
            self._finish(event.stream_id, Status.UNIMPLEMENTED, "not served")
            return
        self._calls[event.stream_id] = call = _Call(method, headers)
        if method.streaming:
            self._begin(call)

    def _collect(self, event: h2.events.DataReceived) -> None:
        self._http.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        call = self._calls.get(event.stream_id)
        if call is None:
            return
        call.received += event.data
        if len(call.received) > _LARGEST_REQUEST:
            del self._calls[event.stream_id]
            self._http.reset_stream(event.stream_id, h2.errors.ErrorCodes.ENHANCE_YOUR_CALM)

    def _begin(self, call: _Call) -> None:
        if call.answer is None:
            call.answer = call.method.handle(call.headers, unframe(bytes(call.received)))

    def _pump(self) -> Iterator[bytes]:
        """Send of each answer what the engine's windows allow now."""
        for stream, call in list(self._calls.items()):
            if call.answer is None:
                continue
            while self._fill(stream, call) and (room := self._room(stream)) > 0:
                self._http.send_data(stream, call.unsent[:room])
                call.unsent = call.unsent[room:]
                yield self._http.data_to_send()
            yield self._http.data_to_send()

    def _room(self, stream: int) -> int:
        return min(self._http.local_flow_control_window(stream), self._http.max_outbound_frame_size)

    def _fill(self, stream: int, call: _Call) -> bool:
        """Have something to send for the call; False once it has ended."""
        if call.unsent or call.answer is None:
            return True
        try:
            message = next(call.answer, None)
        except RefusedError as refused:
            self._finish(stream, refused.status, refused.message)
            return False
        if message is None:
            self._finish(stream, Status.OK)
            return False
        call.unsent = frame(message)
        return True

    def _finish(self, stream: int, status: Status, message: str = "") -> None:
        self._calls.pop(stream, None)
        trailers = [("grpc-status", str(int(status))), ("grpc-message", message)]
        self._http.send_headers(stream, trailers, end_stream=True)
