"""One HTTP request of a test: past all proxies, without retries or redirects."""

from __future__ import annotations

from typing import TYPE_CHECKING

from urllib3 import BaseHTTPResponse, PoolManager, make_headers

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterable, Mapping


def send(
    method: str,
    url: str,
    *,
    login: tuple[str, str] | None = None,
    headers: Mapping[str, str] | None = None,
    body: bytes | Iterable[bytes] | None = None,
    tls: ssl.SSLContext | None = None,
    timeout: float = 30.0,
) -> BaseHTTPResponse:
    """Send a request and read the response.

    Raises:
        urllib3.exceptions.HTTPError: no connection, or it broke.
    """
    account = make_headers(basic_auth=":".join(login)) if login else {}
    with PoolManager(ssl_context=tls, timeout=timeout) as pool:
        return pool.urlopen(
            method, url, headers={**account, **(headers or {})}, body=body, retries=False, redirect=False
        )
