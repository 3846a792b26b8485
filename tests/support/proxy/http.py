"""An HTTP proxy: breaks the requests that a test chooses, and passes all others.

with http_proxy(lab.registry) as proxy:          # proxy.address is used in place of the registry's
    fault = proxy.breaks("PUT", "/manifests/", answer(500), times=2)
    ...
    assert fault.hits == 2
"""

from __future__ import annotations

import re
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import h11

from tests.support.proxy.tcp import CHUNK, Connection, Proxy
from tests.support.proxy.tripwire import BrokenConnectionError
from tests.support.proxy.upstream import Stream, Upstream

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_ABORT = struct.pack("ii", 1, 0)
"""SO_LINGER for zero seconds: closing then sends a reset."""
Body = AsyncIterator[bytes]
Act = Callable[["Exchange"], Awaitable[object]]
"""What happens to a request."""


@dataclass
class Fault:
    """What happens to requests of a method and path, until it has happened often enough."""

    method: re.Pattern[str]
    path: re.Pattern[str]
    act: Act
    left: float
    """How many more requests it breaks."""
    hits: int = 0

    def takes(self, method: str, path: str) -> bool:
        """Whether it breaks this request; if so, count it."""
        if self.left < 1 or not self.method.fullmatch(method) or not self.path.search(path):
            return False
        self.left -= 1
        self.hits += 1
        return True


@dataclass
class _Side:
    """One side of a connection, in HTTP events."""

    stream: Stream
    http: h11.Connection

    async def event(self) -> Any:
        while (event := self.http.next_event()) is h11.NEED_DATA:
            self.http.receive_data(await self.stream.reader.read(CHUNK))
        if isinstance(event, h11.ConnectionClosed):
            raise BrokenConnectionError
        return event

    async def send(self, event: h11.Event) -> None:
        await self.stream.write(self.http.send(event) or b"")

    async def body(self) -> Body:
        if self.http.they_are_waiting_for_100_continue:
            await self.send(h11.InformationalResponse(status_code=100, headers=[]))
        while isinstance(event := await self.event(), h11.Data):
            yield bytes(event.data)


class Exchange:
    """One request in progress: pass it on, answer it, or break the connection."""

    def __init__(self, request: h11.Request, client: _Side, service: _Side) -> None:
        self.request = request
        self.method = request.method.decode()
        self.path = request.target.decode()
        self._client = client
        self._service = service

    async def pass_on(
        self,
        body: Callable[[Body], Body] = lambda pieces: pieces,
        head: Callable[[h11.Response], h11.Response] = lambda head: head,
        back: Callable[[Body], Body] = lambda pieces: pieces,
    ) -> None:
        """Send the request to the service, with its body changed, and its answer back, its parts changed."""
        headers = [pair for pair in self.request.headers if pair[0] != b"expect"]
        await self._service.send(
            h11.Request(method=self.request.method, target=self.request.target, headers=headers)
        )
        async for piece in body(self._client.body()):
            await self._service.send(h11.Data(data=piece))
        await self._service.send(h11.EndOfMessage())
        while isinstance(event := await self._service.event(), h11.InformationalResponse):
            pass
        await self._answer(head(event), back(self._service.body()))

    async def answer(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        """Answer in place of the service, which receives nothing."""
        async for _ in self._client.body():
            pass
        fields = [*headers.items(), ("Content-Length", str(len(body)))]

        async def whole() -> Body:
            if self.method != "HEAD":
                yield body

        await self._answer(h11.Response(status_code=status, headers=fields), whole())

    async def _answer(self, head: h11.Response, body: Body) -> None:
        await self._client.send(head)
        async for piece in body:
            await self._client.send(h11.Data(data=piece))
        await self._client.send(h11.EndOfMessage())

    async def stay_silent(self) -> None:
        """Answer nothing, until the client gives up or the proxy is closed."""
        while await self._client.stream.reader.read(CHUNK):
            pass
        raise BrokenConnectionError

    def reset(self) -> None:
        """Break the connection with a TCP reset."""
        raw: socket.socket = self._client.stream.writer.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _ABORT)
        raise BrokenConnectionError

    def close(self) -> None:
        """Close the connection without a reset."""
        raise BrokenConnectionError


class HttpProxy(Proxy):
    """Passes on all requests but those that a fault takes."""

    def __init__(self, upstream: Upstream) -> None:
        self._faults: list[Fault] = []
        self._seen: list[tuple[str, str]] = []
        super().__init__(upstream)

    @property
    def url(self) -> str:
        """The URL to use in place of the service's."""
        return f"{'https' if self.upstream.tls else 'http'}://{self.address}"

    def breaks(self, method: str, path: str, act: Act, *, times: float = 1) -> Fault:
        """Break the next requests whose method and path match; `path` is searched for in the whole target."""
        fault = Fault(re.compile(method), re.compile(path), act, times)
        self._faults.append(fault)
        return fault

    def mend(self) -> None:
        """Remove all faults."""
        super().mend()
        self._faults.clear()

    def seen(self, method: str, path: str) -> int:
        """How many requests came whose method and path match."""
        return sum(
            bool(re.fullmatch(method, one) and re.search(path, other)) for one, other in list(self._seen)
        )

    async def carry(self, connection: Connection, client: Stream, service: Stream) -> None:
        """Handle the requests of one connection, one after another."""
        del connection
        here, there = _Side(client, h11.Connection(h11.SERVER)), _Side(service, h11.Connection(h11.CLIENT))
        try:
            while True:
                exchange = Exchange(await here.event(), here, there)
                await self._act_for(exchange)(exchange)
                if h11.MUST_CLOSE in (here.http.our_state, here.http.their_state, there.http.their_state):
                    return
                for side in (here, there):
                    if side.http.our_state is h11.DONE:
                        side.http.start_next_cycle()
        except h11.ProtocolError as error:
            raise BrokenConnectionError from error

    def _act_for(self, exchange: Exchange) -> Act:
        self._seen.append((exchange.method, exchange.path))
        faults = list(self._faults)
        taken = (fault.act for fault in faults if fault.takes(exchange.method, exchange.path))
        return next(taken, Exchange.pass_on)


def http_proxy(target: str, *, tls: tuple[Path, Path] | None = None) -> closing[HttpProxy]:
    """A proxy for the HTTP service at localhost:PORT; `tls` is its certificate (its own CA) and key."""
    return closing(HttpProxy(Upstream(f"tcp://{target}", tls)))
