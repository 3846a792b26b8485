"""The duration of looking up published packages, near and far, and behind a token service."""

from __future__ import annotations

import asyncio
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, redirect_stdout, suppress
from http.client import HTTPConnection
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from benchmarks.measure import Ratio, ratio
from farm.model import Descriptor, Platform, Reference, digest_of
from farm.planning.look_up_images import WantedImages, look_up_images
from farm.registry.client import Registry
from farm.registry.credentials import Credentials
from farm.registry.digest_cache import DigestCache
from farm.registry.index import Index
from farm.registry.oci import OCI_CONFIG, OCI_INDEX, OCI_MANIFEST
from farm.registry.published_images import read_indexes
from farm.trust.attested_builds import ImageOrigin
from farm.trust.policy import Policy
from lab.images import push_bytes
from lab.lab import running_lab

if TYPE_CHECKING:
    from collections.abc import Iterator

ARCHES = ("amd64", "arm64", "s390x")
_PACKAGES, _BEHIND_TOKENS = 68, 200
_DELAY, _TOKEN_DELAY = 0.04, 0.1
"""Seconds."""


def rows() -> Iterator[Ratio]:
    """68 packages for three architectures, all published and signed; 200 packages behind a token service."""
    with ExitStack() as stack:
        home = Path(stack.enter_context(TemporaryDirectory(prefix="farm-b")))
        with redirect_stdout(StringIO()):
            lab = stack.enter_context(running_lab())
        with Registry(Credentials(home), timeout=30) as registry:
            tags = [Reference(lab.registry, f"bench/p{n}", "1") for n in range(_PACKAGES)]
            for tag in tags:
                publish(registry, tag)
        port = int(lab.registry.rpartition(":")[2])
        yield _published(home, tags, "", 0.4, 7)
        with _relay(port) as far:
            there = [Reference(f"localhost:{far}", one.repository, one.tag) for one in tags]
            yield _published(home, there, " with 40 ms delay", 0.07, 3)
    with TemporaryDirectory(prefix="farm-b") as name, _token_service() as port:
        yield _behind_tokens(Path(name), port)


def _published(home: Path, tags: list[Reference], where: str, limit: float, rounds: int) -> Ratio:
    def farm() -> None:
        content = DigestCache(home / "content")
        with Registry(Credentials(home), timeout=30, content=content) as registry:
            found = read_indexes(registry, tags)
            wanted = [WantedImages(ImageOrigin(one, ""), ARCHES, *found[one], signed=True) for one in tags]
            images = look_up_images(registry, Policy, wanted)
            assert all(set(one.trusted) == set(ARCHES) for one in images.values())  # noqa: S101

    def peer() -> None:
        with Registry(Credentials(home), timeout=30) as registry:
            for tag in tags:
                for one in (tag, *(tag.for_arch(arch) for arch in ARCHES)):
                    registry.existing(one)

    farm()
    what = f"looking up {len(tags)} packages x {len(ARCHES)}, all published{where}"
    return ratio(what, farm, "one request after another", peer, limit, rounds)


def publish(registry: Registry, tag: Reference) -> Descriptor:
    """Push an image for each architecture, and their index; returns what the tag refers to then."""
    members = []
    for arch in ARCHES:
        config = json.dumps({"architecture": arch, "os": "linux", "author": tag.repository}).encode()
        push_bytes(registry, tag, config)
        about = Descriptor(OCI_CONFIG, digest_of(config), len(config)).to_json()
        body = {"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": about, "layers": []}
        made = registry.put_manifest(tag.for_arch(arch), OCI_MANIFEST, json.dumps(body).encode())
        members.append(Descriptor(OCI_MANIFEST, made.digest, made.size, Platform(arch)))
    return registry.put_manifest(tag, OCI_INDEX, Index(tuple(members)).body())


@contextmanager
def _serving(handle: Any) -> Iterator[int]:
    """A server on loopback in a thread of its own; the port."""
    loop, ready, ports = asyncio.new_event_loop(), threading.Event(), []

    async def serve() -> None:
        server = await asyncio.start_server(handle, "127.0.0.1", 0, backlog=512)
        ports.append(server.sockets[0].getsockname()[1])
        ready.set()
        await server.serve_forever()

    task = loop.create_task(serve())
    thread = threading.Thread(target=lambda: loop.run_until_complete(_until_cancelled(task)), daemon=True)
    thread.start()
    ready.wait(10)
    try:
        yield ports[0]
    finally:
        loop.call_soon_threadsafe(task.cancel)
        thread.join(10)


async def _until_cancelled(task: asyncio.Task[None]) -> None:
    await asyncio.wait([task])


@contextmanager
def _relay(port: int) -> Iterator[int]:
    """A relay to a port of this machine, whose answers take longer."""

    async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, delay: float) -> None:
        while piece := await reader.read(1 << 16):
            await asyncio.sleep(delay)
            writer.write(piece)
        writer.close()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("localhost", port)
        await asyncio.gather(copy(reader, back, 0), copy(there, writer, _DELAY), return_exceptions=True)

    with _serving(handle) as found:
        yield found


_INDEX = Index(()).body()


@contextmanager
def _token_service() -> Iterator[int]:
    """A registry of which each repository needs a token, and its token service, which takes its time."""

    async def answer(path: str, login: str, port: int) -> tuple[str, str, bytes]:
        if path.startswith("/token"):
            await asyncio.sleep(_TOKEN_DELAY)
            return "200 OK", "Content-Type: application/json\r\n", b'{"token": "t"}'
        if not login:
            realm = f'Bearer realm="http://127.0.0.1:{port}/token",service="s"'
            return "401 Unauthorized", f"WWW-Authenticate: {realm}\r\n", b""
        headers = f"Content-Type: {OCI_INDEX}\r\nDocker-Content-Digest: {digest_of(_INDEX)}\r\n"
        return "200 OK", headers, _INDEX

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        port = writer.get_extra_info("sockname")[1]
        with suppress(asyncio.IncompleteReadError, ConnectionError):  # the client has closed its connection
            await answer_all(reader, writer, port)
        writer.close()

    async def answer_all(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, port: int) -> None:
        while head := await reader.readuntil(b"\r\n\r\n"):
            method, path, _ = head.decode().split(" ", 2)
            login = "authorization:" if b"\r\nauthorization:" in head.lower() else ""
            status, headers, body = await answer(path, login, port)
            sent = b"" if method == "HEAD" else body
            writer.write(f"HTTP/1.1 {status}\r\n{headers}Content-Length: {len(body)}\r\n\r\n".encode() + sent)

    with _serving(handle) as port:
        yield port


def _behind_tokens(home: Path, port: int) -> Ratio:
    tags = [Reference(f"127.0.0.1:{port}", f"bench/p{number}", "1") for number in range(_BEHIND_TOKENS)]

    def farm() -> None:
        with Registry(Credentials(home), timeout=30, content=DigestCache(home / "content")) as registry:
            read_indexes(registry, tags)

    def token(number: int) -> None:
        connection = HTTPConnection("127.0.0.1", port)
        connection.request("GET", f"/token?service=s&scope=repository:bench/p{number}:pull")
        json.loads(connection.getresponse().read())
        connection.close()

    def peer() -> None:
        with ThreadPoolExecutor(_BEHIND_TOKENS) as pool:
            list(pool.map(token, range(_BEHIND_TOKENS)))

    what = f"looking up {len(tags)} packages behind a token service of 100 ms"
    return ratio(what, farm, "as many tokens by a bare client at once", peer, 1.5, 7)
