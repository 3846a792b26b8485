"""HTTP to registries: logins by challenge, patience with what a moment may heal, errors in one sentence."""

from __future__ import annotations

import re
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import httpx
from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception_type,
    retry_if_result,
    stop_after_attempt,
    stop_after_delay,
    wait_exponential_jitter,
)

from farm.errors import FarmError, RegistryDeniedError, RegistryError, RegistryUnavailableError, SettingsError
from farm.model import DEFAULT_REGISTRY

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from farm.registry.credentials import Credentials, Login

ATTEMPTS = 4
THREADS = 16
"""Requests that are under way at once."""
LARGEST = 8 << 20
"""Bytes of an answer that is read as a whole: manifests and configurations."""
_LONGEST_PAUSE = 10.0
_DOCKER_HUB = "registry-1.docker.io"
_LOOPBACK = re.compile(r"(localhost|127\.\d+\.\d+\.\d+|\[::1\])(:\d+)?")
_PARAMETER = re.compile(r'(\w+)="([^"]*)"')


def is_loopback(registry: str) -> bool:
    """Whether HOST[:PORT] is this machine, which docker, too, speaks to without TLS."""
    return bool(_LOOPBACK.fullmatch(registry))


@dataclass(frozen=True, slots=True)
class Request:
    """One request that may be sent twice."""

    method: str
    registry: str
    """HOST[:PORT], or docker.io."""
    path: str
    """From /v2/ on; or a whole URL, which is given the login only where it leads to the registry itself."""
    scope: str = ""
    """What a token must allow, such as repository:linuxkit/foo:pull."""
    headers: Mapping[str, str] = field(default_factory=dict)
    content: bytes | Callable[[], Iterable[bytes]] | None = None
    """What is sent: bytes, or a function that begins anew with each attempt."""
    missing: tuple[int, ...] = ()
    """Status codes beyond 2xx that are an answer, such as 404."""
    base: str = ""
    """URL of a mirror, which then is what `registry` names; "" for the registry at its own address."""


class Transport:
    """Connections to all registries; safe to share between threads, not across a fork."""

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
        self._certs = certs
        self._authorities = tuple(authorities)
        self._timeout = timeout
        self._lock = threading.Lock()
        self._opening = threading.Lock()
        self._clients: dict[str, httpx.Client] = {}
        """By HOST[:PORT], for registries whose CA docker knows; "" for all others behind TLS."""
        self._granted: dict[tuple[str, str], str] = {}
        """Registry and scope to the Authorization header that was accepted or at least handed out."""

    @cached_property
    def _plain(self) -> httpx.Client:
        # Proxies are for the world outside, not for this machine and the site's own registries.
        return httpx.Client(verify=False, trust_env=False, timeout=self._timeout, limits=_LIMITS)  # noqa: S501 - it speaks no TLS

    def _secure(self, registry: str) -> httpx.Client:
        """The client for a registry: the CAs that docker trusts for it count beside the usual ones."""
        own = sorted((self._certs / registry).glob("*.crt")) if self._certs else []
        name = registry if own else ""
        with self._opening:
            if name not in self._clients:
                self._clients[name] = httpx.Client(
                    verify=trusting([*self._authorities, *own]),
                    timeout=self._timeout,
                    limits=_LIMITS,
                    follow_redirects=True,
                )
            return self._clients[name]

    def close(self) -> None:
        """Close all connections."""
        if "_plain" in self.__dict__:
            self._plain.close()
        for client in self._clients.values():
            client.close()

    def send(self, request: Request) -> httpx.Response:
        """Send a request, repeatedly while a moment may heal what went wrong.

        Raises:
            RegistryUnavailableError: it cannot be reached or cannot answer now, after all attempts.
            RegistryDeniedError: it refuses the login, or what the login may do.
            RegistryError: any other status.
        """
        retrying = Retrying(
            retry=retry_if_exception_type(httpx.TransportError) | retry_if_result(_busy),
            wait=_pause,
            stop=stop_after_attempt(ATTEMPTS) | stop_after_delay(self._timeout),
            retry_error_callback=lambda state: state.outcome.result() if state.outcome else None,
        )
        with translate_http_errors(request.registry):
            response: httpx.Response = retrying(self._authorised, request)
        if response.is_success or response.status_code in request.missing:
            return response
        raise failure(request.registry, response, request.method)

    @contextmanager
    def opened(self, request: Request) -> Iterator[httpx.Response]:
        """The answer to a request that is sent once, its body unread: for what is too big to be kept.

        Raises:
            RegistryError: as `send` tells; also where the connection breaks while the body is read.
        """
        registry = request.registry
        with translate_http_errors(registry):
            used = self._granted.get((registry, request.scope))
            with self._begun(request, used) as response:
                if response.status_code != httpx.codes.UNAUTHORIZED:
                    yield _accepted(request, response)
                    return
                _read(response, registry)
            granted = self._grant(registry, request.scope, response, used)
            if granted is None:
                raise failure(registry, response, request.method)
            with self._begun(request, granted) as response:
                yield _accepted(request, response)

    def _authorised(self, request: Request) -> httpx.Response:
        used = self._granted.get((request.registry, request.scope))
        response = self._once(request, used)
        if response.status_code != httpx.codes.UNAUTHORIZED:
            return response
        granted = self._grant(request.registry, request.scope, response, used)
        return self._once(request, granted) if granted else response

    def _once(self, request: Request, authorization: str | None) -> httpx.Response:
        with self._begun(request, authorization) as response:
            _read(response, request.registry)
        return response

    @contextmanager
    def _begun(self, request: Request, authorization: str | None) -> Iterator[httpx.Response]:
        base = httpx.URL(request.base or self._address(request.registry))
        client = self._plain if base.scheme == "http" else self._secure(request.registry)
        # A path may be a whole URL, to which a registry sent us.
        whole = request.path.startswith(("http://", "https://"))
        url = httpx.URL(request.path if whole else f"{str(base).rstrip('/')}{request.path}")
        at_home = (url.scheme, url.netloc) == (base.scheme, base.netloc)
        login = {"Authorization": authorization} if authorization and at_home else {}
        content = request.content() if callable(request.content) else request.content
        with client.stream(
            request.method,
            url,
            headers=dict(request.headers) | login,
            content=content,
            follow_redirects=True,
        ) as response:
            yield response

    def _address(self, registry: str) -> str:
        plain = registry in self._insecure or is_loopback(registry)
        host = _DOCKER_HUB if registry == DEFAULT_REGISTRY else registry
        return f"{'http' if plain else 'https'}://{host}"

    def _grant(self, registry: str, scope: str, refused: httpx.Response, used: str | None) -> str | None:
        """The Authorization header that answers a challenge; None where there is nothing to answer with."""
        with self._lock:
            granted = self._granted.get((registry, scope))
            if granted == used:
                granted = self._answer(registry, scope, refused.headers.get("WWW-Authenticate", ""))
                if granted:
                    self._granted[registry, scope] = granted
            return granted

    def _answer(self, registry: str, scope: str, challenge: str) -> str | None:
        kind, _, rest = challenge.partition(" ")
        login = self._credentials.login_for(registry)
        if login and login.is_token and kind:
            return f"Bearer {login.password.reveal()}"
        if kind.lower() == "basic":
            return f"Basic {login.basic}" if login else None
        if kind.lower() != "bearer":
            return None
        facts = dict(_PARAMETER.findall(rest))
        service = [("service", facts["service"])] if facts.get("service") else []
        query = service + [("scope", one) for one in scope.split()]
        realm = facts.get("realm", "")
        client = self._plain if realm.startswith("http:") else self._secure(urlsplit(realm).netloc)
        with client.stream(**_question(realm, query, login)) as response:
            _read(response, registry)
        if not response.is_success:
            raise failure(registry, response, "GET")
        return f"Bearer {_token(registry, response)}"


def _question(realm: str, query: list[tuple[str, str]], login: Login | None) -> dict[str, Any]:
    """How a token service is asked for a token."""
    if login and login.is_identity:
        form = dict(query) | {
            "scope": " ".join(value for name, value in query if name == "scope"),
            "grant_type": "refresh_token",
            "refresh_token": login.password.reveal(),
            "client_id": "farm",
        }
        return {"method": "POST", "url": realm, "data": form}
    headers = {"Authorization": f"Basic {login.basic}"} if login else {}
    return {"method": "GET", "url": realm, "params": query, "headers": headers}


_LIMITS = httpx.Limits(max_connections=THREADS, max_keepalive_connections=THREADS)


@contextmanager
def translate_http_errors(registry: str) -> Iterator[None]:
    """Tell a connection that fails as the registry being out of reach.

    Raises:
        RegistryUnavailableError: the connection failed, or broke.
    """
    try:
        yield
    except httpx.HTTPError as error:
        reason = str(error) or type(error).__name__
        raise RegistryUnavailableError(
            f"the registry {registry} cannot be reached: {reason}", hint="is it up, and is its name right?"
        ) from error


def _accepted(request: Request, response: httpx.Response) -> httpx.Response:
    """The response, unless it is an error."""
    if response.is_success or response.status_code in request.missing:
        return response
    _read(response, request.registry)
    raise failure(request.registry, response, request.method)


def trusting(certificates: Sequence[Path]) -> ssl.SSLContext:
    """A TLS context that trusts these CAs beside the usual ones.

    Raises:
        SettingsError: a file cannot be read, or holds no certificate.
    """
    context = httpx.create_ssl_context()
    for file in certificates:
        try:
            context.load_verify_locations(file)
        except OSError as error:
            raise SettingsError(f"{file}: no CA certificate can be read there: {error}") from error
    return context


def _read(response: httpx.Response, registry: str) -> None:
    """Read an answer whole, but no endless one."""
    body = bytearray()
    for piece in response.iter_bytes():
        body += piece
        if len(body) > LARGEST:
            raise RegistryError(f"the registry {registry} answers with more than {LARGEST >> 20} MiB")
    response._content = bytes(body)  # noqa: SLF001 - what Response.read() sets, here with a bound


def _token(registry: str, response: httpx.Response) -> str:
    try:
        answer = response.json()
        token = answer.get("token") or answer.get("access_token")
    except (ValueError, AttributeError):
        token = None
    if not isinstance(token, str) or not token:
        raise RegistryError(
            f"the token service of {registry} gives no token", hint=f"is {response.url.host} the right one?"
        )
    return token


def _busy(response: Any) -> bool:
    """Whether a status says: ask again later. 2.8's registry answers 500 while a tag is being overwritten."""
    return bool(
        response.status_code >= httpx.codes.INTERNAL_SERVER_ERROR
        or response.status_code == httpx.codes.TOO_MANY_REQUESTS
    )


_growing = wait_exponential_jitter(multiplier=0.1, max=_LONGEST_PAUSE, jitter=0.2)


def _pause(state: RetryCallState) -> float:
    """Seconds until the next attempt: as long as the registry asks for, else growing with jitter."""
    outcome = state.outcome
    if outcome is not None and not outcome.failed:
        asked = outcome.result().headers.get("Retry-After", "")
        if asked.isdecimal():
            return min(float(asked), _LONGEST_PAUSE)
    return float(_growing(state))


def failure(registry: str, response: httpx.Response, method: str) -> FarmError:
    """The error that an answer means, in the registry's own words where it has any."""
    status = response.status_code
    what = f"the registry {registry} answered {method} {response.url.path} with {status}"
    text = f"{what}: {words}" if (words := _words(response)) else what
    if status in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN):
        return RegistryDeniedError(
            f"the registry {registry} refuses access{': ' + words if words else ''}",
            hint=f"docker login {registry}, with an account that may do this",
        )
    if _busy(response):
        return RegistryUnavailableError(text, hint="try again later")
    return RegistryError(text)


def _words(response: httpx.Response) -> str:
    try:
        errors = response.json()["errors"]
        words = "; ".join(str(error.get("message") or error.get("code")) for error in errors)
    except (ValueError, KeyError, TypeError, AttributeError):
        return ""
    return " ".join(words.split())[:300]
