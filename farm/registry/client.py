"""A client of the registry's HTTP API: manifests, configurations and tags."""

from __future__ import annotations

import copy
import re
from contextlib import ExitStack, contextmanager, suppress
from http import HTTPStatus
from typing import TYPE_CHECKING, NamedTuple

from farm.errors import (
    RegistryDamagedError,
    RegistryDeniedError,
    RegistryError,
)
from farm.model import Descriptor, digest_of
from farm.registry.connections import Connections
from farm.registry.credentials import Credentials
from farm.registry.digest_cache import CachedContent, DigestCache
from farm.registry.http_exchange import LARGEST
from farm.registry.http_failures import web_page
from farm.registry.mirrors import Mirrors
from farm.registry.oci import ACCEPT, INDEXES, MANIFESTS, is_digest, manifest_type, naming
from farm.registry.refusals import Refusals
from farm.registry.transport import DELETE, PUSH, Request, Transport, retried
from farm.system.deadline import Deadline

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path
    from typing import Self

    from farm.model import Reference
    from farm.registry.http_exchange import Response
    from farm.settings import Settings


NOT_FOUND = (HTTPStatus.NOT_FOUND,)


class Manifest(NamedTuple):
    """A manifest or an index, byte by byte as the registry stores it."""

    descriptor: Descriptor
    body: bytes


class Registry:
    """All registries, each with the login that docker has for it; safe to share between threads.

    Methods raise RegistryError; its subclasses in farm.errors say why.

    Args:
        credentials: the logins.
        insecure: registries (HOST[:PORT]) without TLS, in addition to those on loopback.
        certs: directory of CA certificates, HOST[:PORT]/*.crt, trusted for that registry alone.
        authorities: CA certificates trusted for every registry.
        mirrors: registry, or "*" for all others, to the URL that is read from first.
        realms: registries, and HOST[:PORT] of token services elsewhere that may get their logins.
        timeout: seconds that one response may take, and after which a request is not repeated.
        mirror_pause: seconds for which a mirror that did not answer is not asked.
        content: what is not fetched again; with it, tags are looked up by HEAD before GET.
    """

    def __init__(
        self,
        credentials: Credentials,
        *,
        insecure: Iterable[str] = (),
        certs: Path | None = None,
        authorities: Sequence[Path] = (),
        mirrors: Iterable[tuple[str, str]] = (),
        realms: Iterable[tuple[str, str]] = (),
        timeout: float,
        mirror_pause: float = 60.0,
        content: DigestCache | None = None,
    ) -> None:
        self.credentials = credentials
        self.deadline = Deadline()
        """When the operation ends that uses this client; nothing is tried again after it."""
        self._mirrors = Mirrors(mirrors, mirror_pause)
        self._refusals = Refusals()
        self._content = content
        self._timeout = timeout
        self._connections = Connections(certs=certs, authorities=authorities, timeout=timeout)
        self._transport = Transport(credentials, self._connections, insecure, realms)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connections.close()

    def within(self, deadline: Deadline) -> Registry:
        """The same client, with the same connections, for an operation with a deadline."""
        client = copy.copy(self)
        client.deadline = deadline
        return client

    def prepare(self, references: Iterable[Reference]) -> None:
        """Get the permissions to read all these repositories at once, before they are asked for."""
        scopes: dict[str, list[str]] = {}
        for reference in references:
            request = Request.to(reference, "GET", "")
            scopes.setdefault(request.registry, []).append(request.scope)
        for registry, wanted in scopes.items():
            # Whatever is wrong, the requests themselves will say it, or not meet it.
            with suppress(RegistryError):
                self._transport.prepare(registry, wanted)

    def ping(self, registry: str) -> None:
        """Return if a registry answers and accepts the login."""
        response = self._send(Request("GET", registry, "/v2/"))
        if response.body.lstrip().startswith(b"<"):
            raise web_page(f"{response.peer} answered GET /v2/ with", response)

    def head(self, reference: Reference) -> Descriptor | None:
        """The descriptor of a tag or digest; None only if there is no such thing."""
        response = self._look_up("HEAD", reference)
        if response is None:
            return None
        if described := _described(response):
            return described
        manifest = self._fetch(reference)
        return manifest.descriptor if manifest else None

    def manifest(self, reference: Reference) -> Manifest | None:
        """The manifest or index of a tag or digest, its digest verified; None if there is none."""
        if self._content is None:
            return self._fetch(reference)
        digest = reference.digest
        if digest is None:
            response = self._look_up("HEAD", reference)
            if response is None:
                return None
            described = _described(response)
            digest = described.digest if described else ""
        if stored := self._content.get(digest):
            with naming(reference):
                media_type = manifest_type(stored.media_type, stored.body)
            return Manifest(Descriptor(media_type, digest, len(stored.body)), stored.body)
        # A tag may have another digest by now, so that is not asked for.
        return self._fetch(reference)

    def _fetch(self, reference: Reference) -> Manifest | None:
        response = self._look_up("GET", reference)
        if response is None:
            return None
        body, actual = response.body, digest_of(response.body)
        for expected in (reference.digest, response.headers.get("Docker-Content-Digest")):
            if expected not in (None, actual):
                raise digest_mismatch(reference, str(expected), actual)
        with naming(reference):
            media_type = manifest_type(response.media_type, body)
        if self._content:
            self._content.put(actual, CachedContent(response.media_type, body))
        return Manifest(Descriptor(media_type, actual, len(body)), body)

    def existing(self, reference: Reference) -> Manifest:
        """The manifest or index of a tag or digest, as `manifest`; an error if there is none."""
        if manifest := self.manifest(reference):
            return manifest
        raise no_such_image(reference)

    def member(self, reference: Reference, member: Descriptor) -> Manifest:
        """The manifest of a member of the index that a reference refers to."""
        if manifest := self.manifest(reference.with_digest(member.digest)):
            return manifest
        what = f"{reference.familiar}: its member {member.digest} is not in the registry"
        raise RegistryError(what, hint="push it again")

    def put_manifest(self, reference: Reference, media_type: str, body: bytes) -> Descriptor:
        """Store a manifest or an index under a tag or its digest; a repetition changes nothing.

        Raises:
            RegistryDeniedError: also if a refused look-up counted as absence, but the login may not read.
        """
        made = Descriptor(media_type, digest_of(body), len(body))
        if reference in self._refusals:
            self._check_refused(reference, made, body)
        self._put(reference, made, body)
        return made

    def _put(self, reference: Reference, made: Descriptor, body: bytes) -> None:
        request = manifest_request("PUT", reference, PUSH)
        self._send(request._replace(headers={"Content-Type": made.media_type}, content=body, missing=()))

    def untag(self, reference: Reference) -> bool:
        """Remove a tag, never what it refers to; False if the registry does not do that.

        https://github.com/opencontainers/distribution-spec/blob/main/spec.md#deleting-tags
        """
        request = manifest_request("DELETE", reference.with_tag(reference.tag or "latest"), DELETE)
        try:
            return self._send(request).ok
        except RegistryError as error:
            if error.retryable:
                raise
            return False

    def blob(self, reference: Reference, digest: str) -> bytes:
        """A small blob of a repository, such as an image's configuration, its digest verified."""
        if self._content and (stored := self._content.get(digest)):
            return stored.body
        body = self._mirrors.first(Request.to(reference, "GET", f"blobs/{digest}"), self._send).body
        if digest_of(body) != digest:
            raise digest_mismatch(reference, digest, digest_of(body))
        if self._content:
            self._content.put(digest, CachedContent("", body))
        return body

    def once(self, request: Request) -> Response:
        """Send a request to the registry itself, once: for operations that are `retried` as a whole."""
        return self._transport.once(request)

    @contextmanager
    def download(self, request: Request) -> Iterator[Response]:
        """The response of a mirror that has what is asked for, else of the registry; its body is unread."""
        with ExitStack() as stack:
            yield self._mirrors.first(request, lambda one: stack.enter_context(self._transport.stream(one)))

    def _look_up(self, method: str, reference: Reference) -> Response | None:
        """The response about a tag or digest; None if it does not exist: see farm.registry.refusals."""

        def ask() -> Response | None:
            response = self._mirrors.first(manifest_request(method, reference), self._send)
            self._refusals.forget(reference)
            return response if response.ok else None

        try:
            return ask()
        except RegistryDeniedError as error:
            return self._refusals.resolve(reference, error, ask, self._send)

    def _check_refused(self, reference: Reference, made: Descriptor, body: bytes) -> None:
        """Prove that a tag whose look-up was refused does not exist; the manifest is stored by its digest."""
        by_digest = reference.with_digest(made.digest)
        self._put(by_digest, made, body)
        self._refusals.check(reference, lambda: self.head(by_digest), lambda: self.head(reference))

    def _send(self, request: Request) -> Response:
        return retried(lambda: self._transport.once(request), self.deadline.or_after(self._timeout))


def _described(response: Response) -> Descriptor | None:
    """What the headers of a response say about a manifest; None if they do not say all of it."""
    digest, size = (response.headers.get(name, "") for name in ("Docker-Content-Digest", "Content-Length"))
    is_size = re.fullmatch(r"[0-9]{1,10}", size) and int(size) <= LARGEST
    if response.media_type in (*INDEXES, *MANIFESTS) and is_digest(digest) and is_size:
        return Descriptor(response.media_type, digest, int(size))
    return None


def open_registry(settings: Settings, *, mirrored: bool = False, cached: bool = False) -> Registry:
    """A client with these settings; mirrors, if used, must not decide what is built, published or signed.

    With `cached`, content is not fetched again: what a digest names, not whether the registry still has it.
    """
    return Registry(
        Credentials.load(settings.docker_config, settings.registry_creds),
        insecure=settings.insecure_registries,
        certs=settings.registry_certs,
        authorities=settings.registry_ca,
        mirrors=settings.mirrors if mirrored else (),
        realms=settings.registry_token_realms,
        timeout=settings.http_timeout,
        content=DigestCache(settings.state_dir / "content") if cached else None,
    )


def no_such_image(reference: Reference) -> RegistryError:
    """The error for a tag or digest that the registry does not have."""
    return RegistryError(f"{reference.familiar}: the registry holds no such image", hint="is the name right?")


def digest_mismatch(reference: Reference, expected: str, actual: str) -> RegistryDamagedError:
    """The error for content that is not what its digest says."""
    return RegistryDamagedError(
        f"{reference.familiar}: digest mismatch: expected {expected}, got {actual}",
        hint="the registry's storage or a proxy in between is damaged",
    )


def manifest_request(method: str, reference: Reference, actions: str = "pull") -> Request:
    """A request for what a tag or digest refers to; a digest takes precedence."""
    path = f"manifests/{reference.digest or reference.tag or 'latest'}"
    return Request.to(reference, method, path, actions)._replace(headers=ACCEPT, missing=NOT_FOUND)
