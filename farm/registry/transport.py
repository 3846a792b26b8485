"""Requests to registries: logins by challenge, redirects, retries."""

from __future__ import annotations

import random
import re
import threading
import time
from contextlib import closing, contextmanager
from http import HTTPStatus
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from urllib3.exceptions import ResponseError

from farm.errors import FarmError, RegistryError, RegistryUnavailableError
from farm.model import DEFAULT_REGISTRY
from farm.registry.challenge import (
    LARGEST_TOKEN,
    Challenge,
    check_realm,
    direct_answer,
    read_token,
    token_request,
)
from farm.registry.connections import DOCKER_HUB
from farm.registry.http_exchange import HttpRequest, Peer, authority, origin, refuse_downgrade, url_login
from farm.registry.http_failures import check_status, reached
from farm.system.at_once import at_once
from farm.system.deadline import Deadline

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from farm.model import Reference
    from farm.registry.connections import Connections
    from farm.registry.credentials import Credentials
    from farm.registry.http_exchange import Response

T = TypeVar("T")

ATTEMPTS = 4
PUSH = "pull,push"
"""What a token must allow for an upload, which begins with a look-up."""
DELETE = "pull,push,delete"
"""What it must allow to remove a tag."""
_FIRST_PAUSE, _JITTER = 0.1, 0.2
"""Seconds."""
_LEAST_LIMIT = 0.001
"""Seconds: urllib3 demands a positive one."""
LONGEST_PAUSE = 60.0
"""Seconds that a request waits because a registry asked for it; a longer pause is left to the caller."""
_FEW_SCOPES = 4
"""With fewer, each scope's own refusal costs less than to ask the registry how it grants."""
_SCOPES_AT_ONCE = 25
"""Of some 60 bytes each: servers limit the length of a URL, the least of them to 4 KiB."""
_MOST_REDIRECTS = 10
"""As many as docker follows."""
_LOOPBACK = re.compile(r"(localhost|127\.\d+\.\d+\.\d+|\[::1\])(:\d+)?")


def is_loopback(registry: str) -> bool:
    """Whether HOST[:PORT] is this machine, to which docker, too, connects without TLS."""
    return bool(_LOOPBACK.fullmatch(registry))


def retried(attempt: Callable[[], T], deadline: Deadline, progress: Callable[[], int] = lambda: 0) -> T:
    """Call again after a failure that may pass, until `ATTEMPTS` made no progress, or the deadline."""
    # The only repetition of requests below that of a task.
    # Not tenacity, which imports asyncio and tornado: a third of the start-up time of `farm plan`.
    failures, done = 0, progress()
    while True:
        try:
            return attempt()
        except FarmError as error:
            if progress() > done:
                failures, done = 0, progress()
            failures += 1
            if not error.retryable or failures == ATTEMPTS or deadline.passed:
                raise
            asked = error.pause if isinstance(error, RegistryUnavailableError) else None
            pause = _FIRST_PAUSE * (1 << failures - 1) if asked is None else asked
            if pause > min(LONGEST_PAUSE, deadline.left):
                raise
        # Jitter keeps clients apart.
        time.sleep(pause + random.uniform(0, _JITTER))  # noqa: S311 - no secret


class Request(NamedTuple):
    """A request to a registry, which may be sent more than once."""

    method: str
    registry: str
    """HOST[:PORT], or docker.io."""
    path: str
    """From /v2/ on; or a whole URL, which gets the login only where it is of the registry's own origin."""
    scope: str = ""
    """What a token must allow: https://distribution.github.io/distribution/spec/auth/scope/."""
    headers: Mapping[str, str] = MappingProxyType({})
    content: bytes | Callable[[], Iterable[bytes]] | None = None
    """The body: bytes, or a function that starts anew with each attempt."""
    missing: tuple[int, ...] = ()
    """Status codes beyond 2xx that are an answer, such as 404."""
    base: str = ""
    """URL of a mirror, which `registry` then names; "" for the registry at its own address."""

    @staticmethod
    def to(reference: Reference, method: str, path: str, actions: str = "pull") -> Request:
        """A request to a repository: https://github.com/opencontainers/distribution-spec/blob/main/spec.md#endpoints."""
        name = reference.repository
        return Request(method, reference.registry, f"/v2/{name}/{path}", f"repository:{name}:{actions}")


class Transport:
    """Sends requests to all registries; safe to share between threads, not across a fork."""

    def __init__(
        self,
        credentials: Credentials,
        connections: Connections,
        insecure: Iterable[str],
        realms: Iterable[tuple[str, str]] = (),
    ) -> None:
        self._credentials = credentials
        self._realms = tuple(realms)
        """Registries and the hosts of their token services, where these are not the registry's own."""
        self._connections = connections
        self._insecure = frozenset(insecure)
        self._turns: dict[tuple[str, str], threading.Lock] = {}
        """Registry and scope to the lock of those who need that token: one asks, the others wait for it."""
        self._granted: dict[tuple[str, str], str] = {}
        """Registry and scope to the Authorization header that was last granted for them."""
        self._shared: set[str] = set()
        """The headers for many scopes at once: a token service may have granted fewer than were asked for."""

    def once(self, request: Request) -> Response:
        """Send a request once, and read the response."""
        with self.stream(request) as response:
            response.read()
        return response

    @contextmanager
    def stream(self, request: Request) -> Iterator[Response]:
        """The response to a request that is sent once, its body unread: blobs may have any size."""
        with reached(Peer(request.registry)):
            key = request.registry, request.scope
            used = self._granted.get(key)
            response = self._sent(request, used)
            # Where a redirect leads, nobody is entitled to ask for the registry's login.
            refused = response.status == HTTPStatus.UNAUTHORIZED and not response.peer.is_elsewhere
            if response.status == HTTPStatus.FORBIDDEN and used in self._shared:
                with self._turns.setdefault(key, threading.Lock()):
                    if self._granted.get(key) == used:
                        del self._granted[key]
                response = self._sent(request, None)
                used, refused = None, response.status == HTTPStatus.UNAUTHORIZED
            if refused:
                granted = self._grant(request, response, used)
                response = self._sent(request, granted) if granted else response
            with closing(response), reached(response.peer):
                check_status(request.method, response, request.missing)
                yield response

    def prepare(self, registry: str, scopes: Iterable[str]) -> None:
        """Get the logins or tokens of many scopes of a registry at once, rather than one after each refusal.

        Many scopes are asked for in one request, as a token service allows:
        https://distribution.github.io/distribution/spec/auth/token/#requesting-a-token

        What is not granted so is asked for again when it is needed.
        """
        missing = [scope for scope in dict.fromkeys(scopes) if (registry, scope) not in self._granted]
        if len(missing) < _FEW_SCOPES:
            return
        request = Request("GET", registry, "/v2/")
        with reached(Peer(registry)), closing(self._sent(request, None)) as response:
            challenge = Challenge.parse(response.headers.get("WWW-Authenticate", ""))
        if response.status != HTTPStatus.UNAUTHORIZED or response.peer.is_elsewhere:
            return
        groups = [missing[at : at + _SCOPES_AT_ONCE] for at in range(0, len(missing), _SCOPES_AT_ONCE)]
        for group in at_once(lambda group: self._prepare(request, challenge, group), groups):
            self._granted.update(group)
            self._shared.update(group.values())

    def _prepare(
        self, request: Request, challenge: Challenge, scopes: Sequence[str]
    ) -> dict[tuple[str, str], str]:
        """What is granted for these scopes; nothing if the token service does not answer for so many."""
        try:
            granted = self._answer(request._replace(scope=" ".join(scopes)), challenge)
        except RegistryError:
            granted = None
        return {(request.registry, scope): granted for scope in scopes} if granted else {}

    def _sent(self, request: Request, authorization: str | None) -> Response:
        base = self._base(request)
        # A registry may send the client elsewhere by a whole URL.
        whole = request.path.startswith(("http://", "https://"))
        url = request.path if whole else f"{base.rstrip('/')}{request.path}"
        authorization = authorization or url_login(base)
        login = {"Authorization": authorization} if authorization and origin(url) == origin(base) else {}
        peer = Peer(request.registry)
        if origin(url) != origin(base):
            peer = Peer(request.registry, authority(url), is_elsewhere=True)
            with _following():
                refuse_downgrade(base, url)
        http = HttpRequest(request.method, url, {**request.headers, **login}, request.content, peer)
        return self._followed(http)

    def _followed(self, request: HttpRequest) -> Response:
        """The response at the end of all redirects; its body is unread, unless it is an error."""
        limit = Deadline.after(self._connections.timeout)
        for _ in range(_MOST_REDIRECTS + 1):
            with reached(request.peer):
                response = self._connections.request(request, max(limit.left, _LEAST_LIMIT))
                if response.ok:
                    return response
                with closing(response):
                    location = response.raw.get_redirect_location()
                    if not location:
                        response.read_error()
                        return response
            with _following():
                request = request.redirected(response.status, location)
        raise ResponseError(f"more than {_MOST_REDIRECTS} redirects")

    def _base(self, request: Request) -> str:
        registry = request.registry
        if request.base:
            return request.base
        plain = registry in self._insecure or is_loopback(registry)
        host = DOCKER_HUB if registry == DEFAULT_REGISTRY else registry
        return f"{'http' if plain else 'https'}://{host}"

    def _grant(self, request: Request, refused: Response, used: str | None) -> str | None:
        """The Authorization header that answers a challenge; None if there is nothing to answer with."""
        key = request.registry, request.scope
        with self._turns.setdefault(key, threading.Lock()):
            # If another header than the one that was sent is there, another thread was granted it.
            granted = self._granted.get(key)
            if granted == used:
                granted = self._answer(request, Challenge.parse(refused.headers.get("WWW-Authenticate", "")))
                if granted:
                    self._granted[key] = granted
            return granted

    def _answer(self, request: Request, challenge: Challenge) -> str | None:
        registry = request.registry
        login = self._credentials.login_for(registry)
        direct = direct_answer(challenge, login)
        if direct or challenge.scheme != "bearer":
            return direct
        plain = self._base(request).startswith("http:")
        check_realm(registry, challenge.realm, self._realms, plain=plain, login=login is not None)
        asked = Peer(registry, authority(challenge.realm))
        question = token_request(challenge, request.scope, login)._replace(peer=asked)
        with closing(self._followed(question)) as response, reached(response.peer):
            check_status(question.method, response)
            response.read(LARGEST_TOKEN)
        return f"Bearer {read_token(response)}"


@contextmanager
def _following() -> Iterator[None]:
    """Report a place where a registry leads, and where nobody follows."""
    try:
        yield
    except ValueError as error:
        raise ResponseError(f"a redirect that is not followed: {error}") from error
