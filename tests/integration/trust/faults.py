"""Faults of a notary server or of the connection to it; each lasts for its `with` block."""

from __future__ import annotations

import contextlib
import socket
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextlib.contextmanager
def silent_server() -> Iterator[str]:
    """A server that accepts connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
        yield f"https://localhost:{listener.getsockname()[1]}"


def nobody() -> str:
    """The URL of a port on which nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return f"https://localhost:{listener.getsockname()[1]}"


@dataclass
class Stalling:
    """A relay that forwards `chunks` pieces of data to a server, and then no more."""

    target: str
    chunks: int
    stalled: threading.Event = field(default_factory=threading.Event)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def may_pass(self) -> bool:
        """Whether one more piece goes through."""
        with self.lock:
            self.chunks -= 1
            if self.chunks < 0:
                self.stalled.set()
            return self.chunks >= 0

    def serve(self, listener: socket.socket) -> None:
        """Forward what comes in until the listener is closed."""
        with contextlib.suppress(OSError):
            while True:
                client, _ = listener.accept()
                address = urlsplit(self.target)
                upstream = socket.create_connection((address.hostname or "", address.port or 0))
                for source, sink, gate in ((client, upstream, True), (upstream, client, False)):
                    threading.Thread(target=self.forward, args=(source, sink, gate), daemon=True).start()

    def forward(self, source: socket.socket, sink: socket.socket, gate: bool) -> None:
        """Copy one direction; data that is held back is never sent, and the connection stays open."""
        with contextlib.suppress(OSError), source, sink:
            while data := source.recv(65536):
                if not gate or self.may_pass():
                    sink.sendall(data)


@contextlib.contextmanager
def stalling(target: str, chunks: int) -> Iterator[tuple[str, threading.Event]]:
    """The URL of a relay to `target` that stalls after `chunks` pieces of data, and the event that it did."""
    relay = Stalling(target, chunks)
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
        threading.Thread(target=relay.serve, args=(listener,), daemon=True).start()
        yield f"https://localhost:{listener.getsockname()[1]}", relay.stalled
        listener.shutdown(socket.SHUT_RDWR)


@contextlib.contextmanager
def token_server(status: int) -> Iterator[tuple[str, list[str]]]:
    """A server that requires a token, whose token service answers `status`; and the logins they received."""
    logins: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            token = self.path.startswith("/token")
            logins.append(self.headers.get("Authorization", ""))
            self.send_response(status if token else 401)
            realm = f'Bearer realm="http://{self.headers["Host"]}/token",service="notary"'
            self.send_header("WWW-Authenticate", realm)
            self.end_headers()
            self.wfile.write(b'{"token": "invalid"}' if token else b"")

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as httpd:
        threading.Thread(target=httpd.serve_forever, daemon=True).start()
        yield f"http://localhost:{httpd.server_port}", logins
        httpd.shutdown()
