"""A gRPC server over HTTP/2 without sockets: bytes in, bytes out. The engine is its client.

https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md
https://www.rfc-editor.org/rfc/rfc9113
"""

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
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from collections.abc import Set as AbstractSet

_PREFIX = 5
"""Bytes before a message: Compressed-Flag (1) and Message-Length (4)."""
_LARGEST_REQUEST = 1 << 20


class GrpcStatus(IntEnum):
    """The status codes that are used here: https://grpc.io/docs/guides/status-codes/."""

    OK = 0
    INVALID_ARGUMENT = 3
    NOT_FOUND = 5
    UNIMPLEMENTED = 12


class RefusedError(Exception):
    """Raised by a handler to answer with a status instead of messages."""

    def __init__(self, status: GrpcStatus, message: str) -> None:
        super().__init__(message)
        self.status, self.message = status, message


@dataclass(frozen=True, slots=True)
class Method:
    """A served method: takes the headers and the one message of a call, yields messages.

    `streaming` is for a call whose client sends no message and never ends its side of the stream.
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
    """A Length-Prefixed-Message, uncompressed: a call without a grpc-encoding header allows no other."""
    return b"\x00" + len(message).to_bytes(4) + message


def unframe(data: bytes) -> bytes:
    """The first message of a gRPC body; empty if there is none."""
    return data[_PREFIX : _PREFIX + int.from_bytes(data[1:_PREFIX])]


class Server:
    """Answers calls on one HTTP/2 connection, each as fast as the engine reads its answer."""

    def __init__(self, methods: Mapping[str, Method]) -> None:
        self._methods = methods
        self._calls: dict[int, _Call] = {}
        self._ended = False
        """Whether the engine said that it ends the connection, as after a build; nothing may be sent then."""
        config = h2.config.H2Configuration(client_side=False, header_encoding="utf-8")
        self._http = h2.connection.H2Connection(config)
        self._http.initiate_connection()

    def receive(self, data: bytes) -> Iterator[bytes]:
        """Process what the engine sent; yield what to send back, in parts."""
        if self._ended:
            return
        try:
            self._process(self._http.receive_data(data) if data else [])
            yield self._http.data_to_send()
            # Whatever arrived: a WINDOW_UPDATE may have opened the window of any call.
            yield from self._send_answers()
        # h2 decodes the headers that it has checked, and lets the error of one that is no UTF-8 pass.
        except (h2.exceptions.ProtocolError, UnicodeDecodeError) as error:
            raise EngineUnavailableError(f"the engine closed the build session: {error}") from error

    def _process(self, events: Sequence[h2.events.Event]) -> None:
        # h2 has processed all of them, and raises at an answer to what a later one has closed.
        self._ended = any(isinstance(event, h2.events.ConnectionTerminated) for event in events)
        if self._ended:
            self._calls.clear()
            return
        reset = {event.stream_id for event in events if isinstance(event, h2.events.StreamReset)}
        for event in events:
            self._dispatch(event, reset)

    def _dispatch(self, event: h2.events.Event, reset: AbstractSet[int | None]) -> None:
        if isinstance(event, h2.events.RequestReceived):
            if event.stream_id not in reset:
                self._open(event)
        elif isinstance(event, h2.events.DataReceived):
            self._collect(event)
        elif isinstance(event, h2.events.StreamEnded) and event.stream_id in self._calls:
            self._start_answer(self._calls[event.stream_id])
        elif isinstance(event, h2.events.StreamReset):
            # The engine cancelled the call; frames for a closed stream would be a protocol error.
            self._calls.pop(event.stream_id, None)

    def _open(self, event: h2.events.RequestReceived) -> None:
        headers = {str(name): str(value) for name, value in event.headers}
        method = self._methods.get(headers.get(":path", ""))
        # HTTP status 200 for every call; how it ended is in the trailers.
        self._http.send_headers(event.stream_id, [(":status", "200"), ("content-type", "application/grpc")])
        if method is None:
            # BuildKit asks for more than it was offered, and does without a method that is unimplemented:
            # https://github.com/moby/buildkit/blob/master/session/auth/auth.go
            self._finish(event.stream_id, GrpcStatus.UNIMPLEMENTED, "not served")
            return
        self._calls[event.stream_id] = call = _Call(method, headers)
        if method.streaming:
            # Upload.Pull has a stream on either side, and BuildKit leaves its own open: no end will come.
            self._start_answer(call)

    def _collect(self, event: h2.events.DataReceived) -> None:
        # Also for a call that is not served: all streams share the connection's window, and unacknowledged
        # bytes would use it up (RFC 9113 section 5.2.1).
        self._http.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        call = self._calls.get(event.stream_id)
        if call is None:
            return
        call.received += event.data
        if len(call.received) > _LARGEST_REQUEST:
            del self._calls[event.stream_id]
            # gRPC reads this code as RESOURCE_EXHAUSTED.
            self._http.reset_stream(event.stream_id, h2.errors.ErrorCodes.ENHANCE_YOUR_CALM)

    def _start_answer(self, call: _Call) -> None:
        if call.answer is None:
            call.answer = call.method.handle(call.headers, unframe(bytes(call.received)))

    def _send_answers(self) -> Iterator[bytes]:
        # A context of gigabytes is one answer: a handler yields its next message only when the last one is
        # sent, so neither the context nor a backlog is kept in memory.
        # A copy, because a call that ends leaves the table.
        for stream, call in list(self._calls.items()):
            if call.answer is None:
                continue
            while self._fill(stream, call) and (room := self._room(stream)) > 0:
                self._http.send_data(stream, call.unsent[:room])
                call.unsent = call.unsent[room:]
                yield self._http.data_to_send()
            yield self._http.data_to_send()

    def _room(self, stream: int) -> int:
        # The windows of stream and connection (RFC 9113 section 5.2), and one DATA frame (section 4.2).
        return min(self._http.local_flow_control_window(stream), self._http.max_outbound_frame_size)

    def _fill(self, stream: int, call: _Call) -> bool:
        """Make sure that the call has bytes to send; False once it has ended."""
        if call.unsent or call.answer is None:
            return True
        try:
            message = next(call.answer, None)
        except RefusedError as refused:
            self._finish(stream, refused.status, refused.message)
            return False
        except ValueError:
            self._finish(stream, GrpcStatus.INVALID_ARGUMENT, "not a message of this method")
            return False
        if message is None:
            self._finish(stream, GrpcStatus.OK)
            return False
        call.unsent = frame(message)
        return True

    def _finish(self, stream: int, status: GrpcStatus, message: str = "") -> None:
        self._calls.pop(stream, None)
        # "Status must be sent in Trailers even if the status code is OK."
        trailers = [("grpc-status", str(int(status))), ("grpc-message", message)]
        self._http.send_headers(stream, trailers, end_stream=True)
