"""A client of the registry's HTTP API: manifests, configurations and tags."""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import TYPE_CHECKING, TypeVar

from farm.errors import RegistryDamagedError, RegistryError, RegistryUnavailableError
from farm.model import Descriptor
from farm.registry.connections import THREADS
from farm.registry.media_types import ACCEPT
from farm.registry.transport import Request, Transport
from farm.registry.urls import authority

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path
    from typing import Self

    from farm.model import Reference
    from farm.registry.credentials import Credentials
    from farm.registry.response import Response

T = TypeVar("T")
R = TypeVar("R")

_NOT_FOUND = (HTTPStatus.NOT_FOUND,)


@dataclass(frozen=True, slots=True)
class Manifest:
    """A manifest or an index, byte by byte as the registry holds it."""

    descriptor: Descriptor
    body: bytes


def digest_of(body: bytes) -> str:
    """sha256:HEX of these bytes."""
    return f"sha256:{hashlib.sha256(body).hexdigest()}"


class Registry:
    """All registries, each spoken to with the login that docker has for it; safe to share between threads.

    Args:
        credentials: the logins.
        insecure: registries (HOST[:PORT]) spoken to without TLS, beside loopback ones.
        certs: directory of CA certificates, HOST[:PORT]/*.crt, trusted beside the usual ones.
        authorities: CA certificates trusted for every registry beside the usual ones.
        mirrors: registry, or "*" for all others, to the URL where what it holds is read first.
        timeout: seconds that one answer may take.
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
        self._mirrors = dict(mirrors)
        self._away: set[str] = set()
        """Mirrors that did not answer, and are not asked again."""
        self.transport = Transport(
            credentials, insecure=tuple(insecure), certs=certs, authorities=authorities, timeout=timeout
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close all connections."""
        self.transport.close()

    def ping(self, registry: str) -> None:
        """Return when a registry answers and takes the login.

        Raises:
            RegistryError: it does not; here and below the kinds of farm.errors tell why.
        """
        self.transport.send(Request("GET", registry, "/v2/"))

    def head(self, reference: Reference) -> Descriptor | None:
        """What a tag or digest names; None only where the registry says that there is no such thing."""
        response = self._ask(_reading("HEAD", reference))
        if response.status in _NOT_FOUND:
            return None
        digest, size = (response.headers.get(name) for name in ("Docker-Content-Digest", "Content-Length"))
        if not digest or not size:
            found = self.manifest(reference)
            return found.descriptor if found else None
        return Descriptor(_media_type(response), digest, int(size))

    def manifest(self, reference: Reference) -> Manifest | None:
        """The manifest or index under a tag or digest, its digest checked; None where there is none."""
        response = self._ask(_reading("GET", reference))
        if response.status in _NOT_FOUND:
            return None
        body, digest = response.body, digest_of(response.body)
        promised = {reference.digest, response.headers.get("Docker-Content-Digest")} - {None}
        if promised - {digest}:
            raise RegistryDamagedError(
                f"{reference.familiar}: the registry sent other bytes than it names: {digest}",
                hint="its storage or a proxy before it is damaged",
            )
        return Manifest(Descriptor(_media_type(response), digest, len(body)), body)

    def put_manifest(self, reference: Reference, media_type: str, body: bytes) -> Descriptor:
        """Store a manifest or an index under a tag; doing it twice is doing it once."""
        headers = {"Content-Type": media_type}
        scope = f"{_pull(reference)},push"
        self.transport.send(Request("PUT", reference.registry, _path(reference), scope, headers, body))
        return Descriptor(media_type, digest_of(body), len(body))

    def blob(self, reference: Reference, digest: str) -> bytes:
        """A small blob of a repository, such as an image's configuration, its digest checked."""
        path = f"/v2/{reference.repository}/blobs/{digest}"
        request = Request("GET", reference.registry, path, _pull(reference))
        body = self._ask(request).body
        if digest_of(body) != digest:
            raise RegistryDamagedError(f"{reference.familiar}: the registry sent other bytes than {digest}")
        return body

    @contextmanager
    def opened(self, request: Request) -> Iterator[Response]:
        """The answer to a request that reads, its body unread; from a mirror that has it, else the registry.

        Raises:
            RegistryError: as `Transport.opened` tells.
        """
        with ExitStack() as stack:
            response = None
            if mirrored := self._mirrored(request):
                with self._forgiving(mirrored):
                    response = stack.enter_context(self.transport.opened(mirrored))
            if response is None or not response.ok:
                response = stack.enter_context(self.transport.opened(request))
            yield response

    def _ask(self, request: Request) -> Response:
        """The answer of the registry's mirror where that has what is asked for, else of the registry."""
        response = None
        if mirrored := self._mirrored(request):
            with self._forgiving(mirrored):
                response = self.transport.send(mirrored)
        return response if response is not None and response.ok else self.transport.send(request)

    def _mirrored(self, request: Request) -> Request | None:
        """The same request to a mirror; None where there is none that answers."""
        base = self._mirrors.get(request.registry) or self._mirrors.get("*")
        if not base or base in self._away:
            return None
        return replace(request, registry=authority(base), base=base)

    @contextmanager
    def _forgiving(self, mirrored: Request) -> Iterator[None]:
        try:
            yield
        except RegistryUnavailableError:
            self._away.add(mirrored.base)
        except RegistryError:
            # It refuses this one thing; the registry itself may not.
            return

    def at_once(self, call: Callable[[T], R], items: Iterable[T], *, threads: int = THREADS) -> list[R]:
        """Do something for each item, many at a time; the first error is raised, and nothing new begun."""
        with ThreadPoolExecutor(threads) as pool:
            futures = [pool.submit(call, item) for item in items]
            try:
                return [future.result() for future in futures]
            finally:
                for future in futures:
                    future.cancel()


def _reading(method: str, reference: Reference) -> Request:
    return Request(
        method, reference.registry, _path(reference), _pull(reference), headers=ACCEPT, missing=_NOT_FOUND
    )


def _path(reference: Reference) -> str:
    return f"/v2/{reference.repository}/manifests/{reference.digest or reference.tag or 'latest'}"


def _pull(reference: Reference) -> str:
    return f"repository:{reference.repository}:pull"


def _media_type(response: Response) -> str:
    return str(response.headers.get("Content-Type", "")).partition(";")[0].strip()
