"""The address of a proxied service, and the streams to it and from its clients."""

from __future__ import annotations

import asyncio
import ssl
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Upstream:
    """The address of the real service."""

    address: str
    """unix:///PATH, or a URL with a port of loopback."""
    tls: tuple[Path, Path] | None = None
    """Certificate (its own CA) and key of a service that speaks TLS; the proxy then sees plain data."""

    def accepting(self) -> ssl.SSLContext | None:
        """The TLS of the proxy's own port."""
        if self.tls is None:
            return None
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*self.tls)
        return context

    async def open(self) -> Stream:
        """Connect to the service."""
        parts = urlsplit(self.address)
        if parts.scheme == "unix":
            return Stream(*await asyncio.open_unix_connection(parts.path))
        context = ssl.create_default_context(cafile=self.tls[0]) if self.tls else None
        name = "localhost" if self.tls else None
        return Stream(
            *await asyncio.open_connection("127.0.0.1", parts.port, ssl=context, server_hostname=name)
        )


@dataclass(eq=False)
class Stream:
    """One side of a connection."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    def __post_init__(self) -> None:
        # So that drain waits until the data has left. At 0, a TLS transport would pause when it is empty.
        self.writer.transport.set_write_buffer_limits(high=1, low=0)

    async def write(self, data: bytes) -> None:
        """Send data, all of it."""
        self.writer.write(data)
        await self.writer.drain()

    async def end(self) -> None:
        """Send the end of the stream; TLS cannot close one direction, and closes both."""
        with suppress(OSError):
            if self.writer.can_write_eof():
                self.writer.write_eof()
            else:
                self.writer.close()
