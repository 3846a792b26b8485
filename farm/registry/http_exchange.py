"""One HTTP request and its response: who is asked, where a redirect leads, and how much is read."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from http import HTTPStatus
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import SplitResult, unquote, urljoin, urlsplit

from urllib3.exceptions import LocationParseError

from farm.errors import RegistryError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from urllib3 import BaseHTTPResponse

_LARGEST = 8 << 20
"""Bytes of a body that is read as a whole: manifests and configurations."""
_PIECE = 1 << 16
_DEFAULT_PORTS = {"http": 80, "https": 443}


def split(url: str) -> SplitResult:
    """The parts of a URL, which a registry may have sent; LocationParseError if it is malformed."""
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError as error:
        raise LocationParseError(url) from error
    return parts


def origin(url: str) -> tuple[str, str, int | None]:
    """Scheme, host and port of a URL; a login is never sent to another origin."""
    parts = split(url)
    return parts.scheme, parts.hostname or "", parts.port or _DEFAULT_PORTS.get(parts.scheme)


def authority(url: str) -> str:
    """HOST[:PORT] of a URL, as a registry is named: without a login and without the default port."""
    scheme, host, port = origin(url)
    name = f"[{host}]" if ":" in host else host
    return name if port in (None, _DEFAULT_PORTS.get(scheme)) else f"{name}:{port}"


def url_login(url: str) -> str | None:
    """The Authorization header of a URL that contains an account, such as https://USER:PASSWORD@mirror."""
    parts = urlsplit(url)
    if not (parts.username or parts.password):
        return None
    account = ":".join(unquote(word or "") for word in (parts.username, parts.password))
    return f"Basic {base64.b64encode(account.encode()).decode()}"


class Peer(NamedTuple):
    """Who is asked: a registry, its token service, or where one of them redirects."""

    registry: str
    """HOST[:PORT], or docker.io."""
    host: str = ""
    """HOST[:PORT] of another one than the registry itself."""
    is_elsewhere: bool = False
    """Whether a redirect led there: it knows nothing of the registry's logins."""

    def __str__(self) -> str:
        name = f"the registry {self.registry}"
        if not self.host:
            return name
        role = f"to which {name} redirects" if self.is_elsewhere else f"the token service of {name}"
        return f"{self.host}, {role},"


_NOBODY = Peer("")


class HttpRequest(NamedTuple):
    """One request as it is sent: to a registry, to its token service, or to where one of them redirects."""

    method: str
    url: str
    headers: Mapping[str, str] = MappingProxyType({})
    body: bytes | Callable[[], Iterable[bytes]] | None = None
    """Bytes, or a function that starts anew with each request."""
    peer: Peer = _NOBODY

    def redirected(self, status: int, location: str) -> HttpRequest:
        """The request that a redirect asks for; the login stays with its origin or the https of its host."""
        # https://www.rfc-editor.org/rfc/rfc9110.html#name-redirection-3xx
        url = urljoin(self.url, location)
        before, after = origin(self.url), origin(url)
        is_upgrade = (before, after) == (("http", before[1], 80), ("https", before[1], 443))
        # As in browsers.
        becomes_get = self.method not in ("GET", "HEAD") and (
            status in (HTTPStatus.FOUND, HTTPStatus.SEE_OTHER)
            or (self.method == "POST" and status == HTTPStatus.MOVED_PERMANENTLY)
        )
        is_same = before == after or is_upgrade
        dropped: set[str] = set() if is_same else {"Authorization"}
        if becomes_get:
            dropped |= {"Content-Length", "Content-Type"}
        headers = {name: value for name, value in self.headers.items() if name not in dropped}
        peer = self.peer if is_same else Peer(self.peer.registry, authority(url), is_elsewhere=True)
        sent = self._replace(url=url, headers=headers, peer=peer)
        return sent._replace(method="GET", body=None) if becomes_get else sent


@dataclass(slots=True)
class Response:
    """A response; its connection is used again once the body was read."""

    url: str
    """Where it came from, redirects included."""
    status: int
    headers: Mapping[str, str]
    """By names in any case."""
    raw: BaseHTTPResponse
    body: bytes = b""
    """What `read` has read."""
    peer: Peer = _NOBODY
    """Who sent it."""

    @property
    def ok(self) -> bool:
        """Whether the status is 2xx."""
        return HTTPStatus.OK <= self.status < HTTPStatus.MULTIPLE_CHOICES

    @property
    def media_type(self) -> str:
        """What the body is said to be, without parameters."""
        return str(self.headers.get("Content-Type", "")).partition(";")[0].strip().lower()

    def read(self) -> None:
        """Read the rest of the body, decompressed, into `body`."""
        body = bytearray(self.body)
        for piece in self.raw.stream(_PIECE, decode_content=True):
            body += piece
            if len(body) > _LARGEST:
                raise RegistryError(f"{self.peer} answers with more than {_LARGEST >> 20} MiB")
        self.body = bytes(body)

    def pieces(self) -> Iterator[bytes]:
        """The body as it was sent, in pieces."""
        return self.raw.stream(_PIECE, decode_content=False)

    def close(self) -> None:
        """Give the connection back; one with an unread body is closed."""
        # None is an unknown length: such a body may be endless.
        if self.raw.length_remaining == 0 and not self.raw.chunked:
            self.raw.drain_conn()
        self.raw.close()
        self.raw.release_conn()
