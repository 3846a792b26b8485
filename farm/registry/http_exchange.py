"""One HTTP request and its response: who is asked, where a redirect leads, and how much is read."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from http import HTTPStatus
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import unquote, urljoin, urlsplit

from urllib3.util import Url, parse_url

from farm.errors import RegistryError
from farm.registry.pace import PacedResponse

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from urllib3 import BaseHTTPResponse

LARGEST = 4 << 20
"""Bytes of a manifest or configuration, as registries and other clients limit them."""
_LARGEST_ERROR = 1 << 16
"""Bytes that are read of what an error says."""
_PIECE = 1 << 16
_DEFAULT_PORTS = {"http": 80, "https": 443}


def split(url: str) -> Url:
    r"""The parts of a URL, which a registry may have sent; LocationParseError if it is malformed.

    By the parser that connects: for urlsplit, another one, the host of https://a.org\@b.org/ is b.org.
    """
    return parse_url(url)


def origin(url: str) -> tuple[str, str, int | None]:
    """Scheme, host and port of a URL; a login is never sent to another origin."""
    parts = split(url)
    scheme = parts.scheme or ""
    return scheme, parts.host or "", parts.port or _DEFAULT_PORTS.get(scheme)


def authority(url: str) -> str:
    """HOST[:PORT] of a URL, as a registry is named: without a login and without the default port."""
    scheme, host, port = origin(url)
    return host if port in (None, _DEFAULT_PORTS.get(scheme)) else f"{host}:{port}"


def url_login(url: str) -> str | None:
    """The Authorization header of a URL that contains an account, such as https://USER:PASSWORD@mirror."""
    parts = urlsplit(url)
    if not (parts.username or parts.password):
        return None
    account = ":".join(unquote(word or "") for word in (parts.username, parts.password))
    return f"Basic {base64.b64encode(account.encode()).decode()}"


def refuse_downgrade(before: str, after: str) -> None:
    """Raise a ValueError if a registry leads from https to another protocol, or to one other than HTTP."""
    old, new = origin(before)[0], origin(after)[0]
    if new not in _DEFAULT_PORTS or (old, new) == ("https", "http"):
        raise ValueError(f"from {old} to {new or 'no protocol'}: {authority(after)}")


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
    has_secret: bool = False
    """Whether it is about a login, which may be in its body: it goes to no other origin."""

    def redirected(self, status: int, location: str) -> HttpRequest:
        """The request that a redirect asks for; the login stays with its origin or the https of its host.

        Raises:
            ValueError: the location is not HTTP, gives up the protection of https, or must not get the login.
        """
        # https://www.rfc-editor.org/rfc/rfc9110.html#name-redirection-3xx
        url = urljoin(self.url, location)
        before, after = origin(self.url), origin(url)
        refuse_downgrade(self.url, url)
        is_upgrade = (before, after) == (("http", before[1], 80), ("https", before[1], 443))
        # As in browsers.
        becomes_get = self.method not in ("GET", "HEAD") and (
            status in (HTTPStatus.FOUND, HTTPStatus.SEE_OTHER)
            or (self.method == "POST" and status == HTTPStatus.MOVED_PERMANENTLY)
        )
        is_same = before == after or is_upgrade
        if self.has_secret and not is_same:
            raise ValueError(f"to {authority(url)}, which must not get the login")
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
    patience: float = 30.0
    """Seconds after which `pieces` ends if they bring nearly nothing."""

    @property
    def ok(self) -> bool:
        """Whether the status is 2xx."""
        return HTTPStatus.OK <= self.status < HTTPStatus.MULTIPLE_CHOICES

    @property
    def media_type(self) -> str:
        """What the body is said to be, without parameters."""
        return str(self.headers.get("Content-Type", "")).partition(";")[0].strip().lower()

    def read(self, largest: int = LARGEST) -> None:
        """Read the rest of the body into `body`; RegistryError if it is longer than this, or compressed."""
        coding = str(self.headers.get("Content-Encoding", "")).strip().lower()
        if coding not in ("", "identity") and self.raw.length_remaining != 0:
            raise RegistryError(
                f"{self.peer} sent a compressed answer ({coding[:20]}), which it was not asked for",
                hint="does a proxy in between compress answers? switch that off",
            )
        self._read_up_to(largest)
        if len(self.body) > largest:
            size = f"{largest >> 20} MiB" if largest >> 20 else f"{largest >> 10} KiB"
            raise RegistryError(
                f"{self.peer} answers with more than {size}",
                hint="no manifest, configuration or token is that large",
            )

    def read_error(self) -> None:
        """Read the begin of an error's body into `body`: its status is what counts."""
        self._read_up_to(_LARGEST_ERROR)
        self.body = self.body[:_LARGEST_ERROR]

    def _read_up_to(self, largest: int) -> None:
        body = bytearray(self.body)
        for piece in self.raw.stream(_PIECE, decode_content=False):
            body += piece
            if len(body) > largest:
                break
        self.body = bytes(body)

    def pieces(self) -> Iterator[bytes]:
        """The body as it was sent, in pieces, for as long as they arrive at a fair pace."""
        extend: Any = getattr(self.raw, "_fp", None)  # urllib3 has no name for the response inside
        if isinstance(extend, PacedResponse):
            extend.extend_while_it_arrives(self.patience)
        return self.raw.stream(_PIECE, decode_content=False)

    def close(self) -> None:
        """Give the connection back; one with an unread body is closed."""
        # None is an unknown length: such a body may be endless.
        if self.raw.length_remaining == 0 and not self.raw.chunked:
            self.raw.drain_conn()
        self.raw.close()
        self.raw.release_conn()
