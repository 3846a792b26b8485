"""A TCP proxy: carries connections to a service, and asks its tripwires about all data."""

from __future__ import annotations

import asyncio
import functools
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from tests.support.proxy.loop import run
from tests.support.proxy.tripwire import BrokenConnectionError, Hold, Tripwire
from tests.support.proxy.upstream import Stream, Upstream

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

CHUNK = 1 << 16
_WINDOW = 1 << 14
"""Bytes before the current data in which a match may begin."""


@dataclass(eq=False)
class Connection:
    """A connection through the proxy, as a tripwire sees it."""

    name_client: Callable[[], str]
    data: bytes = b""
    """What is about to pass, in either direction."""
    recent: bytes = b""
    """The last that the client sent, up to the current data."""
    sent: int = 0
    """Bytes from the client so far, with the current data."""
    received: int = 0
    """Bytes from the service so far, with the current data."""
    _after: Tripwire | None = None
    """Trips when the service answers, since the service has surely acted only then."""

    @functools.cached_property
    def client(self) -> str:
        """The client's name, if the proxy knows it; found when a tripwire asks, since that takes long."""
        return self.name_client()


class Proxy:
    """Listens on a loopback port or a unix socket, in place of a service."""

    def __init__(
        self,
        upstream: Upstream,
        *,
        socket: Path | None = None,
        client: Callable[[int, int], str] = lambda _port, _to: "",
        tripwires: list[Tripwire] | None = None,
        on_sent: Callable[[Connection, bytes], None] = lambda _connection, _data: None,
    ) -> None:
        """Start to listen on a TCP port, or on a unix socket.

        Args:
            upstream: the service.
            socket: where to make the unix socket.
            client: names the client of a connection by its two ports.
            tripwires: a list that several proxies may share.
            on_sent: called with a connection and the client's data, once the service was sent it.
        """
        self.upstream = upstream
        self.tripwires: list[Tripwire] = [] if tripwires is None else tripwires
        self.sent = 0
        """Bytes from clients so far."""
        self.pieces = 0
        """Pieces of data from clients so far."""
        self.is_cut = False
        self._client = client
        self._on_sent = on_sent
        self._streams: set[Stream] = set()
        self._tasks: set[asyncio.Task[None] | None] = set()
        self._server = run(self._listen(socket))
        self.port = 0 if socket else int(self._server.sockets[0].getsockname()[1])
        self.address = f"unix://{socket}" if socket else f"localhost:{self.port}"

    async def _listen(self, socket: Path | None) -> asyncio.Server:
        if socket:
            return await asyncio.start_unix_server(self._accept, socket, backlog=128)
        accepting = self.upstream.accepting()
        return await asyncio.start_server(
            self._accept, "127.0.0.1", 0, ssl=accepting, limit=1 << 20, backlog=128
        )

    def in_place_of(self, url: str) -> str:
        """The service's URL with this proxy's port."""
        return url.replace(f":{urlsplit(url).port}", f":{self.port}")

    def close(self) -> None:
        """Stop listening, break every connection, and let go of what is held."""

        async def close() -> None:
            self.is_cut = True
            # asyncio leaks the socket of a connection that it is accepting when its server closes.
            for listener in self._server.sockets:
                asyncio.get_running_loop().remove_reader(listener.fileno())
            await _turns()
            self._server.close()
            self._break()
            tasks = [task for task in self._tasks if task]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self._server.wait_closed()
            await _turns()

        run(close())

    def cut(self) -> None:
        """Break every connection, and each new one at once, until `mend`."""

        async def cut() -> None:
            self.is_cut = True
            self._break()

        run(cut())

    def mend(self) -> None:
        """Carry new connections again."""
        self.is_cut = False

    def trip(
        self,
        when: Callable[[Connection], bool],
        hold: Hold = Hold.BEFORE,
        *,
        times: float = 1,
        drop: bool = False,
        answers: bool = False,
    ) -> Tripwire:
        """Set a tripwire; see the fields of `Tripwire`."""
        self.tripwires.append(Tripwire(when, hold, times, drop, answers))
        return self.tripwires[-1]

    def _break(self) -> None:
        for stream in self._streams:
            stream.writer.transport.abort()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # A task that nobody refers to may be collected while it runs.
        self._tasks.add(task := asyncio.current_task())
        streams = [Stream(reader, writer)]
        self._streams.update(streams)
        peer = writer.get_extra_info("peername")
        try:
            # A connection that was broken before it was accepted has no peer.
            if self.is_cut or peer is None:
                return
            streams.append(await self.upstream.open())
            self._streams.update(streams)
            connection = Connection(lambda: self._client(peer[1], self.port) if self.port else "")
            await self.carry(connection, *streams)
        except* (OSError, BrokenConnectionError, asyncio.CancelledError):
            pass  # asyncio logs a cancelled callback as an error; this one ends here anyway.
        finally:
            for stream in streams:
                self._streams.discard(stream)
                stream.writer.transport.abort()
            self._tasks.discard(task)

    async def carry(self, connection: Connection, client: Stream, service: Stream) -> None:
        """Carry one connection until both directions have ended, or it breaks."""
        async with asyncio.TaskGroup() as both:
            both.create_task(self._carry_up(connection, client, service))
            both.create_task(self._carry_down(connection, service, client))

    async def _carry_up(self, connection: Connection, client: Stream, service: Stream) -> None:
        while data := await client.reader.read(CHUNK):
            self.sent += len(data)
            self.pieces += 1
            connection.sent += len(data)
            connection.recent = connection.recent[-_WINDOW:] + data
            await self._ask(connection, data, answer=False)
            await service.write(data)
            self._on_sent(connection, data)
        await service.end()

    async def _carry_down(self, connection: Connection, service: Stream, client: Stream) -> None:
        while data := await service.reader.read(CHUNK):
            connection.received += len(data)
            await self._ask(connection, data, answer=True)
            if after := connection._after:
                connection._after = None
                await after.trip(connection.client)
            await client.write(data)
        await client.end()

    async def _ask(self, connection: Connection, data: bytes, *, answer: bool) -> None:
        for tripwire in list(self.tripwires):
            connection.data = data
            if tripwire.takes(connection, answer=answer):
                if tripwire.hold is Hold.AFTER:
                    connection._after = tripwire
                else:
                    await tripwire.trip(connection.client)


async def _turns() -> None:
    """Let the loop turn, as often as a connection takes from being accepted to being closed."""
    for _ in range(5):
        await asyncio.sleep(0)


def proxy(address: str, *, socket: Path | None = None) -> closing[Proxy]:
    """A proxy for the service at tcp://HOST:PORT or unix:///PATH."""
    return closing(Proxy(Upstream(address), socket=socket))
