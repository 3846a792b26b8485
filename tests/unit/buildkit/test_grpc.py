from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import h2.config
import h2.connection
import h2.events
import h2.exceptions
import pytest

from farm.buildkit.grpc import GrpcStatus, Method, RefusedError, Server, frame, unframe
from farm.buildkit.platforms import (
    LIST_WORKERS_RESPONSE_RECORD,
    PLATFORM_ARCHITECTURE,
    PLATFORM_OS,
    WORKER_RECORD_PLATFORMS,
    parse_architectures,
)
from farm.buildkit.protobuf import encode
from farm.errors import EngineUnavailableError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


@dataclass
class Client:
    """An engine's side of a session, without sockets."""

    server: Server
    http: h2.connection.H2Connection = field(
        default_factory=lambda: h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
    )
    bodies: defaultdict[int, bytearray] = field(default_factory=lambda: defaultdict(bytearray))
    statuses: dict[int, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.http.initiate_connection()

    def open(self, path: str) -> int:
        stream = self.http.get_next_available_stream_id()
        fields = [(":method", "POST"), (":scheme", "http"), (":authority", "x"), (":path", path)]
        self.http.send_headers(stream, fields)
        return stream

    def call(self, path: str, message: bytes | None = b"") -> int:
        stream = self.open(path)
        if message is not None:
            self.http.send_data(stream, frame(message), end_stream=True)
        self.exchange()
        return stream

    def exchange(self) -> None:
        """Pass bytes between the two sides until neither has more to send."""
        while sent := self.http.data_to_send():
            for reply in self.server.receive(sent):
                for event in self.http.receive_data(reply):
                    self._take(event)

    def _take(self, event: h2.events.Event) -> None:
        if isinstance(event, h2.events.DataReceived):
            self.bodies[event.stream_id] += event.data
        elif isinstance(event, h2.events.TrailersReceived):
            headers = {str(name): str(value) for name, value in event.headers}
            self.statuses[event.stream_id] = headers["grpc-status"]

    def read(self, stream: int) -> None:
        """Open the flow-control windows for all bytes received."""
        size = len(self.bodies[stream])
        self.http.increment_flow_control_window(size)
        self.http.increment_flow_control_window(size, stream)
        self.exchange()


def echo(_: Mapping[str, str], message: bytes) -> Iterator[bytes]:
    yield message


def refuse(headers: Mapping[str, str], _: bytes) -> Iterator[bytes]:
    if headers:
        raise RefusedError(GrpcStatus.NOT_FOUND, "no")
    yield b""


@pytest.mark.parametrize(("path", "status"), [("/x/Echo", "0"), ("/x/No", "5"), ("/x/Other", "12")])
def test_a_call_ends_with_its_status_and_the_connection_stays_usable(path: str, status: str) -> None:
    client = Client(Server({"/x/No": Method(refuse), "/x/Echo": Method(echo)}))
    assert client.statuses[client.call(path)] == status
    stream = client.call("/x/Echo", b"hello")
    assert (unframe(bytes(client.bodies[stream])), client.statuses[stream]) == (b"hello", "0")


def test_a_large_answer_is_produced_only_as_fast_as_the_engine_reads_it() -> None:
    produced: list[int] = []

    def many(_: Mapping[str, str], __: bytes) -> Iterator[bytes]:
        for number in range(100):
            produced.append(number)
            yield b"x" * 60_000

    client = Client(Server({"/x/Many": Method(many, streaming=True)}))
    stream = client.call("/x/Many", None)
    assert len(produced) <= 2
    rounds = 0
    while stream not in client.statuses:
        client.read(stream)
        rounds += 1
        assert rounds < 1000
    assert len(client.bodies[stream]) == 100 * 60_005


def test_a_slow_answer_does_not_block_the_others() -> None:
    def endless(_: Mapping[str, str], __: bytes) -> Iterator[bytes]:
        while True:
            yield b"x" * 60_000

    client = Client(Server({"/x/Endless": Method(endless, streaming=True), "/x/Echo": Method(echo)}))
    stream = client.call("/x/Endless", None)
    client.http.increment_flow_control_window(100_000)
    assert client.statuses[client.call("/x/Echo", b"hello")] == "0"
    client.http.reset_stream(stream)
    client.exchange()
    assert client.statuses[client.call("/x/Echo", b"hello")] == "0"


def test_a_request_that_is_too_large_is_reset() -> None:
    client = Client(Server({"/x/Echo": Method(echo)}))
    stream = client.open("/x/Echo")
    for _ in range(66):
        client.http.send_data(stream, b"x" * 16_000)
        client.exchange()
    with pytest.raises(h2.exceptions.StreamClosedError):
        client.http.send_data(stream, b"x")


@pytest.mark.parametrize("path", ["/x/Echo", "/x/Other"])
def test_a_call_that_is_cancelled_at_once_ends_no_session(path: str) -> None:
    client = Client(Server({"/x/Echo": Method(echo)}))
    client.exchange()
    stream = client.open(path)
    client.http.send_data(stream, frame(b"hello"), end_stream=True)
    client.http.reset_stream(stream)
    client.exchange()
    assert client.statuses[client.call("/x/Echo", b"hello")] == "0"


def test_an_engine_that_leaves_beside_its_last_call_ends_the_session_without_an_error() -> None:
    """Go's client says GOAWAY when it closes the session of a build that has ended."""
    client = Client(Server({"/x/Echo": Method(echo)}))
    client.exchange()
    stream = client.open("/x/Echo")
    client.http.send_data(stream, frame(b"hello"), end_stream=True)
    client.http.close_connection()
    client.exchange()
    assert client.statuses == {}
    assert list(client.server.receive(b"more")) == []


def test_bytes_that_are_not_http2_end_the_session_with_an_error() -> None:
    with pytest.raises(EngineUnavailableError):
        list(Server({}).receive(b"HTTP/1.1 400 Bad Request\r\n\r\n"))


def test_an_engines_architectures_are_those_that_linuxkit_knows_in_its_order() -> None:
    named = ["linux/s390x", "linux/amd64", "linux/386", "windows/arm64", "linux/amd64"]
    platforms = [
        (WORKER_RECORD_PLATFORMS, encode((PLATFORM_ARCHITECTURE, arch), (PLATFORM_OS, system)))
        for system, _, arch in (name.partition("/") for name in named)
    ]
    worker = encode((1, "worker"), *platforms)
    assert parse_architectures(encode((LIST_WORKERS_RESPONSE_RECORD, worker))) == ("amd64", "s390x")
