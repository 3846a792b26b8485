"""Relays: the way from a process of the farm to a service, watched and broken by the test.

All relays of a farm run in the one thread of a `Loop`. Each carries bytes as they come, notes the HTTP
requests that pass, and asks the tripwires that are set on its service.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import unquote, urlsplit

from tests.fault.tripwire import Hold, Tripwire

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Coroutine

T = TypeVar("T")

_CHUNK = 1 << 16
_WINDOW = 1 << 14
"""Bytes of what went before in which a pattern may begin."""
_REQUEST = re.compile(rb"(?:^|\r\n\r\n)(GET|HEAD|POST|PUT|PATCH|DELETE) (/\S*) HTTP/1")


@dataclass(frozen=True, slots=True)
class Request:
    """An HTTP request that reached a service."""

    at: float
    """Monotonic time."""
    process: str
    method: str
    target: str
    """Path and query, unquoted."""


class Loop:
    """The thread in which relays run."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, name="relays", daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run something in the loop, from another thread; returns what it gave."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(30)

    def close(self) -> None:
        """End the loop and its thread."""
        self.run(self._cancel_all())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(10)
        self.loop.close()

    async def _cancel_all(self) -> None:
        tasks = asyncio.all_tasks(self.loop) - {asyncio.current_task(self.loop)}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@dataclass(frozen=True, slots=True)
class Upstream:
    """Where a service really is."""

    address: str
    """tcp://HOST:PORT or unix:///PATH."""
    accepting: ssl.SSLContext | None = None
    """What the relay shows to the process, where the service speaks TLS: then the relay reads it in clear."""
    connecting: ssl.SSLContext | None = None

    async def open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A connection to it."""
        parts = urlsplit(self.address)
        if parts.scheme == "unix":
            return await asyncio.open_unix_connection(parts.path)
        name = "localhost" if self.connecting else None
        return await asyncio.open_connection(
            parts.hostname, parts.port, ssl=self.connecting, server_hostname=name
        )


@dataclass(eq=False)
class Relay:
    """One process's way to one service; `cut` breaks it, `mend` heals it."""

    loop: Loop
    process: str
    """Who uses it; "" for many, which `owner` tells apart by the two ports of a connection."""
    upstream: Upstream
    owner: Callable[[int, int], str] = lambda _port, _to: ""
    tripwires: list[Tripwire] = field(default_factory=list)
    """Those set on the service, shared by all its relays."""
    requests: list[Request] = field(default_factory=list)
    """Those that reached the service, shared by all its relays."""
    delay: float = 0.0
    """Seconds that every piece of data is late, each way."""
    port: int = 0
    is_cut: bool = False
    _server: asyncio.Server | None = None
    _open: set[asyncio.StreamWriter] = field(default_factory=set)

    def start(self) -> Relay:
        """Listen on a port of its own on loopback."""
        self.loop.run(self._listen())
        return self

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(
            self._carry, "127.0.0.1", self.port, ssl=self.upstream.accepting, limit=1 << 20
        )
        self.port = self._server.sockets[0].getsockname()[1]

    def close(self) -> None:
        """Listen no more, and break every connection."""

        async def close() -> None:
            assert self._server is not None
            self._server.close()
            self._break()
            await self._server.wait_closed()

        self.loop.run(close())

    def cut(self) -> None:
        """Break every connection, and every new one at once, until mended."""

        async def cut() -> None:
            self.is_cut = True
            self._break()

        self.loop.run(cut())

    def mend(self) -> None:
        """Carry again."""
        self.is_cut = False

    def _break(self) -> None:
        for writer in self._open:
            writer.transport.abort()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        opened = [writer]
        self._open.add(writer)
        far_end = writer.get_extra_info("peername")
        try:
            # Nobody is at the far end of a connection that was broken before it was taken up.
            if self.is_cut or not far_end:
                return
            service_reader, service_writer = await self.upstream.open()
            opened.append(service_writer)
            self._open.add(service_writer)
            carriage = Carriage(self, self.process or self.owner(far_end[1], self.port))
            await asyncio.gather(
                carriage.forward(reader, service_writer), carriage.back(service_reader, writer)
            )
        except (OSError, TimeoutError, BrokenCarriageError):
            pass
        finally:
            for end in opened:
                self._open.discard(end)
                end.transport.abort()


class BrokenCarriageError(Exception):
    """A connection that a test gave up."""


@dataclass
class Carriage:
    """One connection on its way."""

    relay: Relay
    process: str
    _seen: bytes = b""
    _holding: Tripwire | None = None

    async def forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry what the process says to the service."""
        while data := await reader.read(_CHUNK):
            await self._late()
            await self._watch(data)
            writer.write(data)
            await writer.drain()
            self._note(data)
        await _end(writer)

    async def back(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry what the service says to the process."""
        while data := await reader.read(_CHUNK):
            await self._late()
            if self._holding:
                await self._hold(self._holding)
                self._holding = None
            writer.write(data)
            await writer.drain()
        await _end(writer)

    async def _late(self) -> None:
        if self.relay.delay:
            await asyncio.sleep(self.relay.delay)

    async def _watch(self, data: bytes) -> None:
        seen = self._seen + data
        self._seen = seen[-_WINDOW:]
        for tripwire in list(self.relay.tripwires):
            if not tripwire.matches(self.process, seen):
                continue
            if tripwire.hold is Hold.AFTER:
                # Told when the answer is there, since only then has it surely happened.
                self._holding = tripwire
            elif tripwire.hold is Hold.BEFORE:
                await self._hold(tripwire)
            else:
                tripwire.trip(self.process)

    async def _hold(self, tripwire: Tripwire) -> None:
        tripwire.trip(self.process)
        if not await tripwire.held():
            raise BrokenCarriageError

    def _note(self, data: bytes) -> None:
        for method, target in _REQUEST.findall(data):
            path = unquote(target.decode(errors="replace"))
            self.relay.requests.append(Request(time.monotonic(), self.process, method.decode(), path))


async def _end(writer: asyncio.StreamWriter) -> None:
    """Pass on that nothing more comes; TLS cannot say so, and ends both ways."""
    with contextlib.suppress(OSError):
        if writer.can_write_eof():
            writer.write_eof()
        else:
            writer.close()
