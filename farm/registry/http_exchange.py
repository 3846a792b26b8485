"""One HTTP request and its response: where a redirect leads, how much is read, and what an error means."""

from __future__ import annotations

import base64
import json
import time
from dataclasses import dataclass
from http import HTTPStatus
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import SplitResult, unquote, urljoin, urlsplit

from urllib3.exceptions import DecodeError, LocationParseError, LocationValueError, ResponseError

from farm.errors import FarmError, RegistryDeniedError, RegistryError, RegistryUnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from urllib3 import BaseHTTPResponse
    from urllib3.exceptions import HTTPError

_LARGEST = 8 << 20
"""Bytes of a body that is read as a whole: manifests and configurations."""
_PIECE = 1 << 16
_DEFAULT_PORTS = {"http": 80, "https": 443}
_PERMANENT = (ResponseError, LocationValueError, DecodeError)
"""Failures that a retry does not change: too many redirects, a malformed URL or body."""


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


class HttpRequest(NamedTuple):
    """One request as it is sent: to a registry, to its token service, or to where one of them redirects."""

    method: str
    url: str
    headers: Mapping[str, str] = MappingProxyType({})
    body: bytes | Callable[[], Iterable[bytes]] | None = None
    """Bytes, or a function that starts anew with each request."""

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
        dropped: set[str] = set() if before == after or is_upgrade else {"Authorization"}
        if becomes_get:
            dropped |= {"Content-Length", "Content-Type"}
        headers = {name: value for name, value in self.headers.items() if name not in dropped}
        return HttpRequest("GET", url, headers) if becomes_get else self._replace(url=url, headers=headers)


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

    @property
    def ok(self) -> bool:
        """Whether the status is 2xx."""
        return HTTPStatus.OK <= self.status < HTTPStatus.MULTIPLE_CHOICES

    def read(self) -> None:
        """Read the rest of the body, decompressed, into `body`."""
        body = bytearray(self.body)
        for piece in self.raw.stream(_PIECE, decode_content=True):
            body += piece
            if len(body) > _LARGEST:
                sender = authority(self.url)
                raise RegistryError(f"the registry {sender} answers with more than {_LARGEST >> 20} MiB")
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


def unreachable(registry: str, error: HTTPError) -> RegistryError:
    """The error that a failed connection means; it is retryable unless a retry cannot change it."""
    what = f"the registry {registry} cannot be reached: {_reason(error)}"
    kind = RegistryError if isinstance(error, _PERMANENT) else RegistryUnavailableError
    return kind(what, hint="is it up, and is its name right?")


def _reason(error: BaseException) -> str:
    """The innermost cause: urllib3 wraps it in the representations of its own objects."""
    wrapped = (arg for arg in reversed(error.args) if isinstance(arg, Exception))
    cause = next(wrapped, None) or error.__cause__
    return _reason(cause) if cause else str(error) or type(error).__name__


def failure(registry: str, method: str, response: Response) -> FarmError:
    """The error that a status means, with the registry's message, if it sent one."""
    status, words = response.status, _words(response.body)
    ending = f": {words}" if words else ""
    text = f"the registry {registry} answered {method} {urlsplit(response.url).path} with {status}{ending}"
    if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
        return RegistryDeniedError(
            f"the registry {registry} refuses access{ending}",
            hint=f"docker login {registry}, with an account that may do this",
        )
    # Registry 2.8 answers 500 while a tag is being overwritten.
    if status < HTTPStatus.INTERNAL_SERVER_ERROR and status != HTTPStatus.TOO_MANY_REQUESTS:
        return RegistryError(text)
    busy = RegistryUnavailableError(text, hint="try again later")
    busy.pause = requested_pause(response.headers.get("Retry-After", ""))
    return busy


def requested_pause(retry_after: str) -> float | None:
    """The seconds of a Retry-After header, which are a number or end at a date; None without a valid one.

    https://www.rfc-editor.org/rfc/rfc9110.html#name-retry-after
    """
    if retry_after.isascii() and retry_after.isdecimal():
        return float(retry_after)
    from email.utils import parsedate_to_datetime  # noqa: PLC0415 - only for a registry that is overloaded

    try:
        return max(0.0, parsedate_to_datetime(retry_after).timestamp() - time.time())
    except ValueError:
        return None


def _words(body: bytes) -> str:
    """At most 300 characters of https://github.com/opencontainers/distribution-spec/blob/main/spec.md#error-codes."""
    try:
        errors = json.loads(body)["errors"]
        words = "; ".join(str(error.get("message") or error.get("code")) for error in errors)
    except (ValueError, KeyError, TypeError, AttributeError):
        return ""
    return " ".join(words.split())[:300]
