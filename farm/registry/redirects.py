"""Redirects: where the next request goes, and what it may carry."""

from __future__ import annotations

from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import urljoin, urlsplit

from farm.registry.urls import origin

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

MOST = 20
"""Redirects that are followed."""
_STATUSES = (
    HTTPStatus.MOVED_PERMANENTLY,
    HTTPStatus.FOUND,
    HTTPStatus.SEE_OTHER,
    HTTPStatus.TEMPORARY_REDIRECT,
    HTTPStatus.PERMANENT_REDIRECT,
)


@dataclass(frozen=True, slots=True)
class Hop:
    """One request as it is sent."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes | Callable[[], Iterable[bytes]] | None = None
    """Bytes, or a function that starts anew with each request."""

    def content(self) -> bytes | Iterable[bytes] | None:
        """The body, from its start."""
        return self.body() if callable(self.body) else self.body


def redirected(hop: Hop, status: int, location: str | None) -> Hop | None:
    """The request after a redirect; None if the response is not a redirect.

    The login stays with its origin; only the upgrade of a host from http to https keeps it.
    https://www.rfc-editor.org/rfc/rfc9110.html#name-redirection-3xx
    """
    if status not in _STATUSES or not location:
        return None
    url = urljoin(hop.url, location)
    headers = dict(hop.headers)
    if origin(url) != origin(hop.url) and not _is_upgrade(hop.url, url):
        headers.pop("Authorization", None)
    if not _becomes_get(hop.method, status):
        return replace(hop, url=url, headers=headers)
    for name in ("Content-Length", "Content-Type"):
        headers.pop(name, None)
    return Hop("GET", url, headers)


def _is_upgrade(before: str, after: str) -> bool:
    host = urlsplit(before).hostname or ""
    return (origin(before), origin(after)) == (("http", host, 80), ("https", host, 443))


def _becomes_get(method: str, status: int) -> bool:
    """Whether a redirect turns a request into a GET, as in browsers."""
    if status == HTTPStatus.MOVED_PERMANENTLY:
        return method == "POST"
    return status in (HTTPStatus.FOUND, HTTPStatus.SEE_OTHER) and method not in ("GET", "HEAD")
