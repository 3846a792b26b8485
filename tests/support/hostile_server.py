"""An HTTP server that answers with whatever bytes a test gives it, also such as no server would send."""

from __future__ import annotations

import socket
import threading
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from socketserver import StreamRequestHandler, ThreadingTCPServer
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterable, Iterator


class Asked(NamedTuple):
    """A request that the server received."""

    method: str
    path: str
    headers: dict[str, str]
    """By names in lower case."""
    body: bytes


@dataclass
class HostileServer:
    """A running server."""

    address: str
    """HOST:PORT."""
    stopped: threading.Event = field(default_factory=threading.Event)
    asked: list[Asked] = field(default_factory=list)

    def one_at_a_time(self, data: bytes, pause: float = 0.02) -> Iterator[bytes]:
        """One byte after another, and after the last one zeros, for as long as the server runs."""
        for byte in data:
            yield bytes([byte])
            if self.stopped.wait(pause):
                return
        while not self.stopped.wait(pause):
            yield b"0"


def reply(body: bytes = b"", status: int = 200, **headers: object) -> list[bytes]:
    """A complete answer; the names of headers are written with underscores."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    fields = {"Content-Length": len(body), **named, "Connection": "close"}
    lines = [f"HTTP/1.1 {status} X", *(f"{name}: {value}" for name, value in fields.items()), "", ""]
    return ["\r\n".join(lines).encode(), body]


@contextmanager
def hostile_server(
    answer: Callable[[HostileServer, Asked], Iterable[bytes]],
    host: str = "127.0.0.1",
    tls: ssl.SSLContext | None = None,
) -> Iterator[HostileServer]:
    """A server on an address of loopback, for as long as the body runs."""

    class Handler(StreamRequestHandler):
        timeout = 30

        def handle(self) -> None:
            with suppress(OSError), self.request:
                for piece in answer(server, self._asked()):
                    self.request.sendall(piece)
                self.request.shutdown(socket.SHUT_WR)

        def _asked(self) -> Asked:
            method, path, *_ = self.rfile.readline().decode("latin1").split(" ")
            headers: dict[str, str] = {}
            while line := self.rfile.readline().decode("latin1").strip():
                name, _, value = line.partition(":")
                headers[name.lower()] = value.strip()
            asked = Asked(method, path, headers, self.rfile.read(int(headers.get("content-length", 0))))
            server.asked.append(asked)
            return asked

    class Server(ThreadingTCPServer):
        def finish_request(self, request: Any, client_address: Any) -> None:
            with suppress(OSError):
                secured = tls.wrap_socket(request, server_side=True) if tls else request
                super().finish_request(secured, client_address)

    with Server((host, 0), Handler) as tcp:
        tcp.daemon_threads = True
        server = HostileServer(f"{host}:{tcp.server_address[1]}")
        thread = threading.Thread(target=tcp.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.stopped.set()
            tcp.shutdown()
            thread.join()
