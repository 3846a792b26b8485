"""A relay before a real HTTP service: breaks the requests that a test chooses, and lets all others pass.

with http_relay(lab.registry) as relay:          # relay.address stands in for the registry's
    fault = relay.breaks("PUT", "/manifests/", answer(500), times=2)
    ...
    assert fault.hits == 2
"""

from __future__ import annotations

import json
import re
import socket
import socketserver
import ssl
import struct
import threading
from collections.abc import Callable
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import h11
import httpx

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

_CHUNK = 1 << 16
_CODES = {401: "UNAUTHORIZED", 403: "DENIED", 405: "UNSUPPORTED", 429: "TOOMANYREQUESTS"}
"""How a registry calls what it refuses."""
_HOP_BY_HOP = {b"connection", b"keep-alive", b"transfer-encoding", b"expect"}
_WRITES = "POST|PUT|PATCH|DELETE"
_HANDSHAKE = 20.0
"""Seconds that a client may take to agree on a cipher."""
_ABORT = struct.pack("ii", 1, 0)
"""Linger for no time: closing then sends a reset, and no end."""


Act = Callable[["Exchange"], None]
"""What becomes of one request."""


class HungUpError(Exception):
    """The connection of the client is over; nothing more can be said on it."""


@dataclass
class Fault:
    """What happens to the requests that it chooses, until it has happened often enough."""

    method: re.Pattern[str]
    path: re.Pattern[str]
    act: Callable[[Exchange], None]
    left: float
    """How many requests it still breaks; `inf` for all, until `mend`."""
    hits: int = 0
    first: threading.Event = field(default_factory=threading.Event)
    """Set as soon as it breaks its first request."""

    def mend(self) -> None:
        """Break no more."""
        self.left = 0

    def takes(self, method: str, path: str) -> bool:
        """Whether it breaks this request; counts it if so."""
        if self.left < 1 or not self.method.fullmatch(method) or not self.path.search(path):
            return False
        self.left -= 1
        self.hits += 1
        self.first.set()
        return True


class Exchange:
    """One request under way, and what can be done with it: pass it on, answer it, or break off."""

    def __init__(self, client: socket.socket, http: h11.Connection, upstream: httpx.Client) -> None:
        self._client = client
        self._http = http
        self._upstream = upstream
        self.request = self._next_request()
        self.method = self.request.method.decode()
        self.path = self.request.target.decode()

    def body(self) -> Iterator[bytes]:
        """The request's body, as it arrives."""
        if self._http.they_are_waiting_for_100_continue:
            self._send(h11.InformationalResponse(status_code=100, headers=[]))
        while not isinstance(event := self._event(), h11.EndOfMessage):
            if isinstance(event, h11.Data):
                yield bytes(event.data)

    def pass_on(
        self,
        body: Callable[[Iterator[bytes]], Iterable[bytes]] = lambda pieces: pieces,
        reply: Callable[[Reply], Reply] = lambda reply: reply,
        back: Callable[[Iterator[bytes]], Iterable[bytes]] = lambda pieces: pieces,
    ) -> None:
        """Send the request to the real service and its answer to the client, changed as asked for.

        Args:
            body: what becomes of the request's body on its way.
            reply: what becomes of the answer's head.
            back: what becomes of the answer's body.
        """
        with self._asked(body) as response:
            head = reply(Reply(response.status_code, [*response.headers.raw]))
            self._send(head.event())
            for piece in back(response.iter_raw()):
                if self.method != "HEAD":
                    self._send(h11.Data(data=piece))
        self._send(h11.EndOfMessage())

    @contextmanager
    def _asked(self, body: Callable[[Iterator[bytes]], Iterable[bytes]]) -> Iterator[httpx.Response]:
        headers = [(name, value) for name, value in self.request.headers if name not in _HOP_BY_HOP]
        sized = any(name in (b"content-length", b"transfer-encoding") for name, _ in self.request.headers)
        pieces = body(self.body())
        content = iter(pieces) if sized else b"".join(pieces)
        url = self._upstream.base_url.copy_with(raw_path=self.request.target)
        request = self._upstream.build_request(self.method, url, headers=headers, content=content)
        response = self._upstream.send(request, stream=True)
        try:
            yield response
        finally:
            response.close()

    def answer(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        """Answer in the place of the service, which hears nothing of the request."""
        for _ in self.body():
            pass
        fields = [*headers.items(), ("Content-Length", str(len(body)))]
        self._send(h11.Response(status_code=status, headers=fields))
        if self.method != "HEAD":
            self._send(h11.Data(data=body))
        self._send(h11.EndOfMessage())

    def stay_silent(self) -> None:
        """Say nothing, until the client has had enough or the relay is closed."""
        with suppress(OSError):
            while self._client.recv(_CHUNK):
                pass
        raise HungUpError

    def reset(self) -> None:
        """Break off with a TCP reset."""
        self._client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _ABORT)
        self._client.close()
        raise HungUpError

    def close(self) -> None:
        """Break off as one who has ended: closed, and no reset."""
        self._client.shutdown(socket.SHUT_RDWR)
        raise HungUpError

    def _next_request(self) -> h11.Request:
        event = self._event()
        if not isinstance(event, h11.Request):
            raise HungUpError
        return event

    def _event(self) -> Any:
        while (event := self._http.next_event()) is h11.NEED_DATA:
            self._http.receive_data(self._client.recv(_CHUNK))
        if isinstance(event, h11.ConnectionClosed):
            raise HungUpError
        return event

    def _send(self, event: h11.Event) -> None:
        self._client.sendall(self._http.send(event) or b"")


@dataclass(frozen=True)
class Reply:
    """The head of an answer."""

    status: int
    headers: list[tuple[bytes, bytes]]

    def with_header(self, name: str, value: str | None) -> Reply:
        """The same with another value of a header, or without it."""
        others = [pair for pair in self.headers if pair[0].lower() != name.lower().encode()]
        added = [(name.encode(), value.encode())] if value is not None else []
        return Reply(self.status, [*others, *added])

    def event(self) -> h11.Response:
        """The head as it is sent; a body without a length goes in chunks."""
        kept = [pair for pair in self.headers if pair[0].lower() not in _HOP_BY_HOP]
        return h11.Response(status_code=self.status, headers=kept)


def answer(status: int, *, retry_after: int | None = None, says: str = "made to fail") -> Act:
    """A status with an error as a registry writes it."""
    body = json.dumps({"errors": [{"code": _CODES.get(status, "UNKNOWN"), "message": says}]}).encode()
    headers = {"Content-Type": "application/json"}
    more = {} if retry_after is None else {"Retry-After": str(retry_after)}
    return lambda exchange: exchange.answer(status, headers | more, body)


def silence() -> Act:
    """Nothing is ever answered."""
    return Exchange.stay_silent


def reset(*, after: int = 0) -> Act:
    """The connection is reset once `after` bytes of the request's body have reached the service."""

    def act(exchange: Exchange) -> None:
        def cut(pieces: Iterator[bytes]) -> Iterator[bytes]:
            yield from _first(pieces, after)
            exchange.reset()

        exchange.pass_on(body=cut)

    return act


def reset_answer(*, after: int = 0) -> Act:
    """The service does as asked, and the connection is reset after `after` bytes of its answer's body."""

    def act(exchange: Exchange) -> None:
        def cut(pieces: Iterator[bytes]) -> Iterator[bytes]:
            yield from _first(pieces, after)
            exchange.reset()

        exchange.pass_on(back=cut)

    return act


def lost_answer() -> Act:
    """The service does as asked, and the client hears nothing of it but a reset."""

    def act(exchange: Exchange) -> None:
        def lose(reply: Reply) -> Reply:
            exchange.reset()
            return reply

        exchange.pass_on(reply=lose)

    return act


def truncated(*, keep: int, admits: bool = False) -> Act:
    """Only `keep` bytes of an answer's body arrive; its length tells so only if it `admits` as much."""

    def act(exchange: Exchange) -> None:
        def cut(pieces: Iterator[bytes]) -> Iterator[bytes]:
            yield from _first(pieces, keep)
            if not admits:
                exchange.close()

        def size(reply: Reply) -> Reply:
            return reply.with_header("Content-Length", str(keep)) if admits else reply

        exchange.pass_on(reply=size, back=cut)

    return act


def other_digest(digest: str = f"sha256:{'0' * 64}") -> Act:
    """The answer names another digest than that of its bytes."""
    return lambda exchange: exchange.pass_on(
        reply=lambda reply: reply.with_header("Docker-Content-Digest", digest)
    )


def other_bytes() -> Act:
    """The answer's last bytes are turned over, its length and headers kept."""

    def turn(pieces: Iterator[bytes]) -> Iterator[bytes]:
        whole = b"".join(pieces)
        yield whole[:-8] + whole[-8:][::-1]

    return lambda exchange: exchange.pass_on(back=turn)


def delayed(seconds: float) -> Act:
    """The request waits on its way."""

    def act(exchange: Exchange) -> None:
        threading.Event().wait(seconds)
        exchange.pass_on()

    return act


def preceded_by(call: Callable[[], object]) -> Act:
    """Something else happens first; then the request passes."""

    def act(exchange: Exchange) -> None:
        call()
        exchange.pass_on()

    return act


def _first(pieces: Iterator[bytes], size: int) -> Iterator[bytes]:
    left = size
    while left > 0 and (piece := next(pieces, b"")):
        yield piece[:left]
        left -= len(piece)


class HttpRelay:
    """Passes requests on to a real service, but for those that a fault takes."""

    def __init__(self, target: str, tls: tuple[Path, Path] | None) -> None:
        self.target = target
        self._tls = tls
        self._faults: list[Fault] = []
        self._seen: list[tuple[str, str]] = []
        self._changing = threading.Lock()
        self._clients: set[socket.socket] = set()
        relay = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                relay.serve(self.request)

        class Server(socketserver.ThreadingTCPServer):
            request_queue_size = 128
            block_on_close = True
            daemon_threads = False

        self._server = Server(("127.0.0.1", 0), Handler)
        self.port = int(self._server.server_address[1])
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()

    @property
    def address(self) -> str:
        """localhost:PORT, to be used in the place of the service's own."""
        return f"localhost:{self.port}"

    @property
    def url(self) -> str:
        """The same as a URL."""
        return f"{'https' if self._tls else 'http'}://{self.address}"

    def breaks(self, method: str, path: str, act: Act, *, times: float = 1) -> Fault:
        """Break the next requests whose method fits and in whose path `path` is found; both are patterns."""
        fault = Fault(re.compile(method), re.compile(path), act, times)
        with self._changing:
            self._faults.append(fault)
        return fault

    def read_only(self) -> Fault:
        """Refuse all that would change something, as a registry does that is set to be read."""
        return self.breaks(_WRITES, "", answer(405, says="The operation is unsupported."), times=float("inf"))

    def mend(self) -> None:
        """Break nothing any more."""
        with self._changing:
            self._faults.clear()

    def seen(self, method: str, path: str) -> int:
        """How many requests came whose method and path fit."""
        with self._changing:
            return sum(
                bool(re.fullmatch(method, one) and re.search(path, other)) for one, other in self._seen
            )

    def _act_for(self, exchange: Exchange) -> Act:
        with self._changing:
            self._seen.append((exchange.method, exchange.path))
            taken = (fault.act for fault in self._faults if fault.takes(exchange.method, exchange.path))
            return next(taken, Exchange.pass_on)

    def serve(self, client: socket.socket) -> None:
        """Serve one connection until it ends."""
        with suppress(HungUpError, OSError, h11.ProtocolError, httpx.TransportError):
            encrypted = self._encrypted(client)
            with self._changing:
                self._clients.add(encrypted)
            try:
                self._converse(encrypted)
            finally:
                with self._changing:
                    self._clients.discard(encrypted)

    def _converse(self, client: socket.socket) -> None:
        http = h11.Connection(h11.SERVER)
        scheme = "https" if self._tls else "http"
        verify = ssl.create_default_context(cafile=self._tls[0]) if self._tls else False
        with (
            client,
            httpx.Client(
                base_url=f"{scheme}://{self.target}", verify=verify, trust_env=False, timeout=60
            ) as upstream,
        ):
            upstream.headers.clear()
            while True:
                exchange = Exchange(client, http, upstream)
                self._act_for(exchange)(exchange)
                if http.our_state is h11.MUST_CLOSE or http.their_state is h11.MUST_CLOSE:
                    return
                http.start_next_cycle()

    def _encrypted(self, client: socket.socket) -> socket.socket:
        if self._tls is None:
            return client
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*self._tls)
        client.settimeout(_HANDSHAKE)
        encrypted = context.wrap_socket(client, server_side=True)
        encrypted.settimeout(None)
        return encrypted

    def close(self) -> None:
        """Break off all connections, and leave nothing behind."""
        self._server.shutdown()
        with self._changing:
            for client in self._clients:
                with suppress(OSError):
                    client.shutdown(socket.SHUT_RDWR)
        self._server.server_close()
        self._thread.join()


@contextmanager
def http_relay(target: str, *, tls: tuple[Path, Path] | None = None) -> Iterator[HttpRelay]:
    """A relay on a port of its own before the service at HOST:PORT.

    Args:
        target: where the service is.
        tls: its certificate, which stands for its CA too, and its key, where it speaks TLS.
    """
    relay = HttpRelay(target, tls)
    try:
        yield relay
    finally:
        relay.close()
