"""The architectures that an engine runs, according to its BuildKit, which runs a tiny program for each.

https://github.com/moby/buildkit/blob/master/util/archutil/detect.go

The kernel's list of handlers (/proc/sys/fs/binfmt_misc) says less: a handler may not work inside containers,
and a worker in a container, or one that uses an engine in a virtual machine, reads another kernel's list.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import h2.config
import h2.connection
import h2.events
import h2.exceptions

from farm.buildkit.grpc import frame, unframe
from farm.buildkit.protobuf import decode
from farm.errors import EngineUnavailableError
from farm.model import ARCHES

if TYPE_CHECKING:
    from farm.buildkit.connection import Connection

# https://github.com/moby/buildkit/blob/master/api/services/control/control.proto
_LIST_WORKERS = "/moby.buildkit.v1.Control/ListWorkers"
LIST_WORKERS_RESPONSE_RECORD = 1
# https://github.com/moby/buildkit/blob/master/api/types/worker.proto
WORKER_RECORD_PLATFORMS = 3
# https://github.com/moby/buildkit/blob/master/solver/pb/ops.proto
PLATFORM_ARCHITECTURE, PLATFORM_OS = 1, 2


def ask_architectures(connection: Connection) -> tuple[str, ...]:
    """Ask for the architectures that the engine builds for, its own included, over a new connection to it.

    https://github.com/moby/moby/blob/master/daemon/server/router/grpc/grpc.go

    Raises:
        EngineUnavailableError: the engine closed the connection, or has no BuildKit.
    """
    received = connection.upgrade("POST", "/grpc")
    try:
        return parse_architectures(_list_workers(connection, received))
    except (h2.exceptions.ProtocolError, ValueError) as error:
        raise EngineUnavailableError(
            f"the BuildKit of the Docker Engine at {connection.engine} does not answer: {error}",
            hint="the farm needs Docker Engine 20.10 or newer",
        ) from error


def parse_architectures(answer: bytes) -> tuple[str, ...]:
    """The Linux architectures of an encoded ListWorkersResponse that LinuxKit knows, in LinuxKit's order."""
    named = {
        platform.text(PLATFORM_ARCHITECTURE)
        for worker in decode(answer).messages(LIST_WORKERS_RESPONSE_RECORD)
        for platform in worker.messages(WORKER_RECORD_PLATFORMS)
        if platform.text(PLATFORM_OS) == "linux"
    }
    return tuple(arch for arch in ARCHES if arch in named)


def _list_workers(connection: Connection, received: bytes) -> bytes:
    http = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
    http.initiate_connection()
    stream = http.get_next_available_stream_id()
    headers = [(":method", "POST"), (":scheme", "http"), (":authority", "docker"), (":path", _LIST_WORKERS)]
    http.send_headers(stream, [*headers, ("te", "trailers"), ("content-type", "application/grpc")])
    http.send_data(stream, frame(b""), end_stream=True)
    connection.send(http.data_to_send())
    body = bytearray()
    while data := received or connection.read_in_time():
        received = b""
        for event in http.receive_data(data):
            if isinstance(event, h2.events.DataReceived):
                # At most 64 KiB: without an acknowledgement, no more may be sent (RFC 9113 section 6.9.2).
                body += event.data
            elif isinstance(event, h2.events.StreamEnded):
                return unframe(bytes(body))
        connection.send(http.data_to_send())
    raise ValueError("it closed the connection")
