"""Requests to registries: logins by challenge, redirects, retries."""

from __future__ import annotations

import re
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from urllib3.exceptions import ProtocolError, ResponseError

from farm.model import DEFAULT_REGISTRY
from farm.registry.challenge import Challenge, direct_answer, read_token, token_request
from farm.registry.connections import Connections
from farm.registry.http_errors import CONNECTION_ERRORS, failure, is_busy, translate_http_errors
from farm.registry.redirects import MOST, Hop, redirected
from farm.registry.request_retry import ATTEMPTS, asked_pause, growing_pause
from farm.registry.response import Response
from farm.registry.urls import origin, url_login
from farm.system.deadline import Deadline

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from farm.registry.credentials import Credentials

_DOCKER_HUB = "registry-1.docker.io"
_LOOPBACK = re.compile(r"(localhost|127\.\d+\.\d+\.\d+|\[::1\])(:\d+)?")
_NEVER = Deadline()
_ENCODINGS = {"Accept-Encoding": "gzip, deflate"}


def _next_hop(hop: Hop, response: Response) -> Hop | None:
    try:
        return redirected(hop, response.raw.status, response.raw.headers.get("Location"))
    except ValueError as error:
        raise ProtocolError(f"a redirect to an invalid URL: {error}") from error


def is_loopback(registry: str) -> bool:
    """Whether HOST[:PORT] is this machine, to which docker, too, connects without TLS."""
    return bool(_LOOPBACK.fullmatch(registry))


@dataclass(frozen=True, slots=True)
class Request:
    """A request to a registry, which may be sent more than once."""

    method: str
    registry: str
    """HOST[:PORT], or docker.io."""
    path: str
    """From /v2/ on; or a whole URL, which gets the login only where it is of the registry's own origin."""
    scope: str = ""
    """What a token must allow, such as repository:linuxkit/foo:pull."""
    headers: Mapping[str, str] = field(default_factory=dict)
    content: bytes | Callable[[], Iterable[bytes]] | None = None
    """The body: bytes, or a function that starts anew with each attempt."""
    missing: tuple[int, ...] = ()
    """Status codes beyond 2xx that are an answer, such as 404."""
    base: str = ""
    """URL of a mirror, which `registry` then names; "" for the registry at its own address."""


class Transport:
    """Sends requests to all registries; safe to share between threads, not across a fork."""

    def __init__(
        self,
        credentials: Credentials,
        *,
        insecure: Sequence[str],
        certs: Path | None,
        authorities: Sequence[Path] = (),
        timeout: float,
    ) -> None:
        self._credentials = credentials
        self._insecure = frozenset(insecure)
        self._timeout = timeout
        self._connections = Connections(certs=certs, authorities=authorities, timeout=timeout)
        self._lock = threading.Lock()
        self._granted: dict[tuple[str, str], str] = {}
        """Registry and scope to the Authorization header that was last granted for them."""

    def close(self) -> None:
        """Close all connections."""
        self._connections.close()

    def send(self, request: Request, deadline: Deadline = _NEVER) -> Response:
        """Send a request, again after a failure that may pass, and read the response.

        Args:
            request: the request.
            deadline: when the operation ends that this request belongs to; no attempt begins after it.

        Raises:
            RegistryUnavailableError: it cannot be reached or cannot answer now, after all attempts.
            RegistryDeniedError: it refuses the login, or what the login may do.
            RegistryError: any other status.
        """
        with translate_http_errors(request.registry):
            return _accepted(request, self._repeated(request, deadline.or_after(self._timeout)))

    def _repeated(self, request: Request, deadline: Deadline) -> Response:
        """The first response that is final, or the last one."""
        # Not tenacity, which imports asyncio and tornado: a third of the start-up time of `farm plan`.
        for attempt in range(1, ATTEMPTS):
            pause = growing_pause(attempt)
            try:
                response = self._authorised(request)
            except CONNECTION_ERRORS:
                if deadline.passed:
                    raise
            else:
                if not is_busy(response.status) or deadline.passed:
                    return response
                pause = asked_pause(response, pause)
            time.sleep(pause)
        return self._authorised(request)

    @contextmanager
    def stream(self, request: Request) -> Iterator[Response]:
        """The response to a request that is sent once, its body unread: for blobs, which may have any size.

        Raises:
            RegistryError: as `send`; also where the connection breaks while the body is read.
        """
        with translate_http_errors(request.registry):
            used = self._granted.get((request.registry, request.scope))
            with self._sent(request, used) as response:
                if response.status != HTTPStatus.UNAUTHORIZED:
                    yield self._checked(request, response)
                    return
                response.read(request.registry)
            granted = self._grant(request, response, used)
            if granted is None:
                raise failure(request.registry, request.method, response)
            with self._sent(request, granted) as response:
                yield self._checked(request, response)

    def _checked(self, request: Request, response: Response) -> Response:
        """A response whose body is unread, unless it is an error: that one is read, for its words."""
        if not _is_answer(request, response):
            response.read(request.registry)
        return _accepted(request, response)

    def _authorised(self, request: Request) -> Response:
        used = self._granted.get((request.registry, request.scope))
        response = self._once(request, used)
        if response.status != HTTPStatus.UNAUTHORIZED:
            return response
        granted = self._grant(request, response, used)
        return self._once(request, granted) if granted else response

    def _once(self, request: Request, authorization: str | None) -> Response:
        with self._sent(request, authorization) as response:
            response.read(request.registry)
        return response

    @contextmanager
    def _sent(self, request: Request, authorization: str | None) -> Iterator[Response]:
        base = request.base or self._address(request.registry)
        # A registry may send the client elsewhere by a whole URL.
        whole = request.path.startswith(("http://", "https://"))
        url = request.path if whole else f"{base.rstrip('/')}{request.path}"
        authorization = authorization or url_login(base)
        login = {"Authorization": authorization} if authorization and origin(url) == origin(base) else {}
        hop = Hop(request.method, url, _ENCODINGS | dict(request.headers) | login, request.content)
        registry = None if base.startswith("http:") else request.registry
        with self._followed(hop, registry) as response:
            yield response

    @contextmanager
    def _followed(self, hop: Hop, registry: str | None) -> Iterator[Response]:
        """The response at the end of all redirects; `registry` as for `Connections.request`."""
        for _ in range(MOST + 1):
            raw = self._connections.request(
                hop.method, hop.url, registry=registry, headers=hop.headers, body=hop.content()
            )
            response = Response(hop.url, raw)
            try:
                following = _next_hop(hop, response)
                if following is None:
                    yield response
                    return
            finally:
                response.close()
            hop = following
        raise ResponseError(f"more than {MOST} redirects")

    def _address(self, registry: str) -> str:
        plain = registry in self._insecure or is_loopback(registry)
        host = _DOCKER_HUB if registry == DEFAULT_REGISTRY else registry
        return f"{'http' if plain else 'https'}://{host}"

    def _grant(self, request: Request, refused: Response, used: str | None) -> str | None:
        """The Authorization header that answers a challenge; None if there is nothing to answer with.

        Args:
            request: what was refused.
            refused: the challenge.
            used: the header that was sent; a newer one, granted to another thread, is the answer.
        """
        key = request.registry, request.scope
        with self._lock:
            granted = self._granted.get(key)
            if granted == used:
                granted = self._answer(*key, Challenge.parse(refused.headers.get("WWW-Authenticate", "")))
                if granted:
                    self._granted[key] = granted
            return granted

    def _answer(self, registry: str, scope: str, challenge: Challenge) -> str | None:
        login = self._credentials.login_for(registry)
        direct = direct_answer(challenge, login)
        if direct or challenge.scheme != "bearer":
            return direct
        question = token_request(challenge, scope, login)
        hop = Hop(question.method, question.url, _ENCODINGS | question.headers, question.body)
        realm = challenge.realm
        with self._followed(hop, None if realm.startswith("http:") else urlsplit(realm).netloc) as response:
            response.read(registry)
        if not response.ok:
            raise failure(registry, "GET", response)
        return f"Bearer {read_token(registry, response)}"


def _is_answer(request: Request, response: Response) -> bool:
    return response.ok or response.status in request.missing


def _accepted(request: Request, response: Response) -> Response:
    """The response, unless it is an error."""
    if _is_answer(request, response):
        return response
    raise failure(request.registry, request.method, response)
