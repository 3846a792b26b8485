"""A client of the registry's HTTP API: manifests, configurations and tags."""

from __future__ import annotations

import copy
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import TYPE_CHECKING, TypeVar

from farm.errors import RegistryDamagedError, RegistryError, RegistryUnavailableError
from farm.model import Descriptor, digest_of
from farm.registry.connections import THREADS
from farm.registry.oci import ACCEPT, blob_path, manifest_path, pull_scope, push_scope
from farm.registry.transport import Request, Transport
from farm.registry.urls import authority
from farm.system.deadline import Deadline

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path
    from typing import Self

    from farm.model import Reference
    from farm.registry.credentials import Credentials
    from farm.registry.response import Response

T = TypeVar("T")
R = TypeVar("R")

NOT_FOUND = (HTTPStatus.NOT_FOUND,)


@dataclass(frozen=True, slots=True)
class Manifest:
    """A manifest or an index, byte by byte as the registry stores it."""

    descriptor: Descriptor
    body: bytes


class Registry:
    """All registries, each with the login that docker has for it; safe to share between threads.

    Args:
        credentials: the logins.
        insecure: registries (HOST[:PORT]) without TLS, in addition to those on loopback.
        certs: directory of CA certificates, HOST[:PORT]/*.crt, trusted for that registry alone.
        authorities: CA certificates trusted for every registry.
        mirrors: registry, or "*" for all others, to the URL that is read from first.
        timeout: seconds that one response may take.
    """

    def __init__(
        self,
        credentials: Credentials,
        *,
        insecure: Iterable[str] = (),
        certs: Path | None = None,
        authorities: Sequence[Path] = (),
        mirrors: Iterable[tuple[str, str]] = (),
        timeout: float,
    ) -> None:
        self.credentials = credentials
        self.deadline = Deadline()
        """When the operation ends that uses this client; nothing is tried again after it."""
        self._mirrors = dict(mirrors)
        self._unavailable: set[str] = set()
        """URLs of mirrors that did not answer, and are not used again."""
        self._transport = Transport(
            credentials, insecure=tuple(insecure), certs=certs, authorities=authorities, timeout=timeout
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close all connections."""
        self._transport.close()

    def within(self, deadline: Deadline) -> Registry:
        """The same client, with the same connections, for an operation with a deadline."""
        client = copy.copy(self)
        client.deadline = deadline
        return client

    def ping(self, registry: str) -> None:
        """Return if a registry answers and accepts the login.

        Raises:
            RegistryError: it does not; here and below its subclasses in farm.errors say why.
        """
        self.send(Request("GET", registry, "/v2/"))

    def head(self, reference: Reference) -> Descriptor | None:
        """The descriptor of a tag or digest; None only if the registry says that there is no such thing."""
        response = self._read(_manifest_request("HEAD", reference))
        if response.status in NOT_FOUND:
            return None
        digest, size = (response.headers.get(name) for name in ("Docker-Content-Digest", "Content-Length"))
        if not digest or not size:
            manifest = self.manifest(reference)
            return manifest.descriptor if manifest else None
        return Descriptor(_media_type(response), digest, int(size))

    def manifest(self, reference: Reference) -> Manifest | None:
        """The manifest or index of a tag or digest, its digest verified; None if there is none."""
        response = self._read(_manifest_request("GET", reference))
        if response.status in NOT_FOUND:
            return None
        body, actual = response.body, digest_of(response.body)
        for expected in (reference.digest, response.headers.get("Docker-Content-Digest")):
            if expected not in (None, actual):
                raise digest_mismatch(reference, str(expected), actual)
        return Manifest(Descriptor(_media_type(response), actual, len(body)), body)

    def put_manifest(self, reference: Reference, media_type: str, body: bytes) -> Descriptor:
        """Store a manifest or an index under a tag or its digest; a repetition changes nothing."""
        headers = {"Content-Type": media_type}
        scope = push_scope(reference.repository)
        self.send(Request("PUT", reference.registry, manifest_path(reference), scope, headers, body))
        return Descriptor(media_type, digest_of(body), len(body))

    def blob(self, reference: Reference, digest: str) -> bytes:
        """A small blob of a repository, such as an image's configuration, its digest verified."""
        path, scope = blob_path(reference, digest), pull_scope(reference.repository)
        body = self._read(Request("GET", reference.registry, path, scope)).body
        if digest_of(body) != digest:
            raise digest_mismatch(reference, digest, digest_of(body))
        return body

    def send(self, request: Request) -> Response:
        """Send a request to the registry itself, again after failures that may pass.

        Raises:
            RegistryError: as for `Transport.send`.
        """
        return self._transport.send(request, self.deadline)

    @contextmanager
    def upload(self, request: Request) -> Iterator[Response]:
        """Send a request to the registry itself, once.

        Raises:
            RegistryError: as for `Transport.stream`.
        """
        with self._transport.stream(request) as response:
            yield response

    @contextmanager
    def download(self, request: Request) -> Iterator[Response]:
        """The response of a mirror that has what is asked for, else of the registry; its body is unread.

        Raises:
            RegistryError: as for `Transport.stream`.
        """
        with ExitStack() as stack:
            response = None
            if mirrored := self._mirrored(request):
                with self._mirror_may_fail(mirrored):
                    response = stack.enter_context(self._transport.stream(mirrored))
            if response is None or not response.ok:
                response = stack.enter_context(self._transport.stream(request))
            yield response

    def _read(self, request: Request) -> Response:
        """The response of a mirror that has what is asked for, else of the registry."""
        response = None
        if mirrored := self._mirrored(request):
            with self._mirror_may_fail(mirrored):
                response = self.send(mirrored)
        return response if response is not None and response.ok else self.send(request)

    def _mirrored(self, request: Request) -> Request | None:
        """The same request to a mirror; None if there is no available one."""
        base = self._mirrors.get(request.registry) or self._mirrors.get("*")
        if not base or base in self._unavailable:
            return None
        return replace(request, registry=authority(base), base=base)

    @contextmanager
    def _mirror_may_fail(self, mirrored: Request) -> Iterator[None]:
        try:
            yield
        except RegistryUnavailableError:
            self._unavailable.add(mirrored.base)
        except RegistryError:
            # The mirror refused only this request; the registry may answer it.
            return

    def at_once(self, call: Callable[[T], R], items: Iterable[T], *, threads: int = THREADS) -> list[R]:
        """Call a function for each item, many at a time; after an error, which is raised, start no more."""
        with ThreadPoolExecutor(threads) as pool:
            futures = [pool.submit(call, item) for item in items]
            try:
                return [future.result() for future in futures]
            finally:
                for future in futures:
                    future.cancel()


def digest_mismatch(reference: Reference, expected: str, actual: str) -> RegistryDamagedError:
    """The error for content that is not what its digest says."""
    return RegistryDamagedError(
        f"{reference.familiar}: digest mismatch: expected {expected}, got {actual}",
        hint="the registry's storage or a proxy in between is damaged",
    )


def _manifest_request(method: str, reference: Reference) -> Request:
    path, scope = manifest_path(reference), pull_scope(reference.repository)
    return Request(method, reference.registry, path, scope, headers=ACCEPT, missing=NOT_FOUND)


def _media_type(response: Response) -> str:
    return str(response.headers.get("Content-Type", "")).partition(";")[0].strip()
