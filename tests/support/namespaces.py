"""A far host: a network namespace whose packets a test loses, delays and stops.

    with far_host([port_of_redis, port_of_registry]) as host:
        subprocess.Popen([*host.prefix, "farm", "worker"])    # finds both at localhost, as usual
        host.links[port_of_redis].cut()

The wire is a pair of TUN devices, one in the host's namespace and one in another, between which this
process carries the packets, since many kernels lack `netem`. All of it depends on descriptors of this
process, so that nothing is left when the process ends; no other namespace has an address or a rule of it.
"""

from __future__ import annotations

import asyncio
import ctypes
import errno
import fcntl
import os
import random
import socket
import struct
import subprocess
import threading
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

T = TypeVar("T")

_CLONE_NEWNET = 0x40000000
_TUNSETIFF = 0x400454CA
_IFF_TUN, _IFF_NO_PI = 0x0001, 0x1000
_NEAR, _FAR = "192.0.2.1", "192.0.2.2"
"""Documentation addresses (RFC 5737); they exist in the two namespaces only."""
_LARGEST = 1 << 16
_TCP = 6
_CHUNK = 1 << 16
_LIBC = ctypes.CDLL(None, use_errno=True)


@dataclass
class Link:
    """What happens to the packets between the host and one service."""

    port: int
    """The service's port, on loopback, at both ends."""
    delay: float = 0.0
    """Seconds by which a packet from the host is delayed."""
    loss: float = 0.0
    """Share of the packets that are lost, in either direction."""
    is_cut: bool = False
    lost: int = 0
    """Packets lost so far."""

    def cut(self) -> None:
        """Lose every packet, without an error."""
        self.is_cut = True

    def heal(self) -> None:
        """Carry every packet at once again."""
        self.is_cut, self.delay, self.loss = False, 0.0, 0.0


class Namespace:
    """A network namespace that lives as long as this object, or a process in it."""

    def __init__(self) -> None:
        self.descriptor = in_thread(_unshare)

    @property
    def prefix(self) -> list[str]:
        """The words before a command that run it inside."""
        return ["nsenter", f"--net=/proc/{os.getpid()}/fd/{self.descriptor}", "--"]

    def inside(self, call: Callable[[], T]) -> T:
        """Call something inside; sockets that it makes stay there."""

        def entered() -> T:
            _checked(_LIBC.setns(self.descriptor, _CLONE_NEWNET))
            return call()

        return in_thread(entered)

    def run(self, *words: str) -> None:
        """Run a command inside, which must succeed."""
        self.inside(lambda: subprocess.run(words, check=True, capture_output=True, timeout=30))

    def close(self) -> None:
        """Close the descriptor; the namespace ends with its last process."""
        os.close(self.descriptor)


def _unshare() -> int:
    _checked(_LIBC.unshare(_CLONE_NEWNET))
    return os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)


def _checked(result: int) -> None:
    if result:
        number = ctypes.get_errno()
        raise OSError(number, f"no network namespace: {os.strerror(number)}")


def in_thread(call: Callable[[], T]) -> T:
    """Call something in a new thread, since a thread that changed its namespace cannot be used again."""
    results: list[T] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            results.append(call())
        except BaseException as error:  # noqa: BLE001 - raised again in the caller's thread
            errors.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if errors:
        raise errors[0]
    return results[0]


def _tun(namespace: Namespace, address: str, peer: str) -> int:
    """A TUN device in a namespace; returns the descriptor on which its packets come and go."""

    def make() -> int:
        descriptor = os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK)
        fcntl.ioctl(descriptor, _TUNSETIFF, struct.pack("16sH22x", b"wire", _IFF_TUN | _IFF_NO_PI))
        return descriptor

    descriptor = namespace.inside(make)
    namespace.run("ip", "addr", "add", address, "peer", peer, "dev", "wire")
    namespace.run("ip", "link", "set", "wire", "up")
    namespace.run("ip", "link", "set", "lo", "up")
    return descriptor


@dataclass
class FarHost:
    """A host whose only neighbours are some services of this machine; see `far_host`."""

    links: dict[int, Link]
    """By the service's port."""
    far: Namespace = field(default_factory=Namespace)
    near: Namespace = field(default_factory=Namespace)
    _connections: set[object] = field(default_factory=set)
    _chance: random.Random = field(default_factory=lambda: random.Random(2))

    def __post_init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._far_end = _tun(self.far, _FAR, _NEAR)
        self._near_end = _tun(self.near, _NEAR, _FAR)
        self._redirect()
        self._thread = threading.Thread(target=self._loop.run_forever, name="wire", daemon=True)
        self._thread.start()
        self._call(self._begin())

    @property
    def prefix(self) -> list[str]:
        """The words before a command that make it run on this host."""
        return self.far.prefix

    def _redirect(self) -> None:
        """Route the services' ports on the host's loopback over the wire."""
        self.far.inside(lambda: Path("/proc/sys/net/ipv4/conf/all/route_localnet").write_text("1"))
        nat = ("iptables", "--wait", "--table", "nat")
        for port in self.links:
            link = ("--protocol", "tcp", "--destination", "127.0.0.1", "--dport", str(port))
            self.far.run(*nat, "--append", "OUTPUT", *link, "--jump", "DNAT", "--to-destination", _NEAR)
        self.far.run(
            *nat, "--append", "POSTROUTING", "--out-interface", "wire", "--jump", "SNAT", "--to-source", _FAR
        )

    async def _begin(self) -> None:
        self._loop.add_reader(self._far_end, self._carry, self._far_end, self._near_end)
        self._loop.add_reader(self._near_end, self._carry, self._near_end, self._far_end)
        self._servers = [await self._serve(port) for port in self.links]

    def _carry(self, source: int, target: int) -> None:
        with suppress(BlockingIOError):
            while True:
                packet = os.read(source, _LARGEST)
                link = self._link_of(packet, outwards=source == self._far_end)
                if link is None:
                    continue
                if link.is_cut or self._chance.random() < link.loss:
                    link.lost += 1
                elif link.delay and source == self._far_end:
                    self._loop.call_later(link.delay, _put, target, packet)
                else:
                    _put(target, packet)

    def _link_of(self, packet: bytes, *, outwards: bool) -> Link | None:
        """The link of a packet's service; None for anything but TCP over IPv4."""
        if packet[0] >> 4 != 4 or packet[9] != _TCP:
            return None
        ports = struct.unpack_from("!HH", packet, (packet[0] & 0x0F) * 4)
        return self.links.get(ports[1 if outwards else 0])

    async def _serve(self, port: int) -> asyncio.Server:
        """Listen for a service at the near end, inside its namespace, and connect to it from outside."""

        async def connect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            # The loop keeps no reference to a task, which may be collected while it waits.
            self._connections.add(task := asyncio.current_task())
            ends = [writer]
            try:
                there, back = await asyncio.open_connection("127.0.0.1", port)
                ends.append(back)
                await asyncio.gather(_pump(reader, back), _pump(there, writer))
            except OSError:
                pass
            finally:
                for end in ends:
                    end.transport.abort()
                self._connections.discard(task)

        listener = await self._loop.run_in_executor(
            None, self.near.inside, lambda: socket.create_server((_NEAR, port), backlog=128)
        )
        return await asyncio.start_server(connect, sock=listener)

    def _call(self, work: object) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(30)  # type: ignore[arg-type]

    async def _end(self) -> None:
        for server in self._servers:
            server.close()
        for end in (self._far_end, self._near_end):
            self._loop.remove_reader(end)
        while tasks := asyncio.all_tasks(self._loop) - {asyncio.current_task(self._loop)}:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(0)  # Aborted connections are closed in the loop's next turn.
        await self._loop.shutdown_default_executor()

    def close(self) -> None:
        """Remove the wire and both namespaces."""
        self._call(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()
        for end in (self._far_end, self._near_end):
            os.close(end)
        self.far.close()
        self.near.close()


def _put(target: int, packet: bytes) -> None:
    try:
        os.write(target, packet)
    except OSError as error:
        # A full queue loses packets, and a delayed packet may find its wire removed.
        if error.errno not in (errno.EAGAIN, errno.EBADF, errno.EIO, errno.ENOBUFS):
            raise


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(_CHUNK):
        writer.write(data)
        await writer.drain()
    writer.write_eof()


@contextmanager
def far_host(ports: Sequence[int]) -> Iterator[FarHost]:
    """A host that reaches these ports of this machine's loopback at its own, and nothing else."""
    host = FarHost({port: Link(port) for port in ports})
    try:
        yield host
    finally:
        host.close()
