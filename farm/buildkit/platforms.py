"""Which architectures an engine runs, from its BuildKit, which tries each by running a tiny program.

The kernel's list of handlers (/proc/sys/fs/binfmt_misc) says less: a handler may not work inside containers,
and a worker in a container, or one that drives an engine in a virtual machine, reads another kernel's list.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import h2.config
import h2.connection
import h2.events
import h2.exceptions

from farm.buildkit.grpc import frame, unframe
from farm.buildkit.protobuf import Message, decode
from farm.errors import EngineUnavailableError
from farm.model import ARCHES

if TYPE_CHECKING:
    from farm.buildkit.connection import Connection

_METHOD = "/moby.buildkit.v1.Control/ListWorkers"
_RECORD, _PLATFORMS = 1, 3
_ARCHITECTURE, _OS = 1, 2


def ask_architectures(connection: Connection) -> tuple[str, ...]:
    """The architectures that the engine builds for, its own among them, over a fresh connection to it.

    Raises:
        EngineUnavailableError: the engine went away, or has no BuildKit.
    """
    pending = connection.upgrade("POST", "/grpc")
    try:
        return architectures(_call(connection, pending))
    except (h2.exceptions.ProtocolError, ValueError) as error:
        raise EngineUnavailableError(
            f"the BuildKit of the Docker Engine at {connection.engine} does not answer: {error}",
            hint="the farm needs Docker Engine 20.10 or newer",
        ) from error


def architectures(answer: bytes) -> tuple[str, ...]:
    """The Linux architectures in an encoded ListWorkersResponse, those that LinuxKit knows, in its order.

    Raises:
        ValueError: the answer is no such message.
    """
    named = {
        platform.text(_ARCHITECTURE)
        for worker in decode(answer).messages(_RECORD)
        for platform in worker.messages(_PLATFORMS)
        if _is_linux(platform)
    }
    return tuple(arch for arch in ARCHES if arch in named)


def _is_linux(platform: Message) -> bool:
    return platform.text(_OS) == "linux"


def _call(connection: Connection, pending: bytes) -> bytes:
    """Call the one method as a gRPC client; returns the encoded answer."""
    http = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
    http.initiate_connection()
    _ask(http)
    connection.send(http.data_to_send())
    body = bytearray()
    while data := pending or connection.read():
        pending = b""
        for event in http.receive_data(data):
            if isinstance(event, h2.events.DataReceived):
                body += event.data
            elif isinstance(event, h2.events.StreamEnded):
                return unframe(bytes(body))
        connection.send(http.data_to_send())
    raise ValueError("it closed the connection")


def _ask(http: h2.connection.H2Connection) -> None:
    stream = http.get_next_available_stream_id()
    headers = [(":method", "POST"), (":scheme", "http"), (":authority", "docker"), (":path", _METHOD)]
    http.send_headers(stream, [*headers, ("te", "trailers"), ("content-type", "application/grpc")])
    http.send_data(stream, frame(b""), end_stream=True)
