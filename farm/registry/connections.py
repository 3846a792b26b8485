"""HTTP connections: reused, verified by the CAs of a registry, through the proxies of the environment."""

from __future__ import annotations

import ssl
import threading
import time
from functools import cached_property
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from urllib3 import HTTPConnectionPool, HTTPSConnectionPool, PoolManager, ProxyManager, Timeout
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import ProxySchemeUnknown

from farm.errors import SettingsError
from farm.registry.proxies import Proxies
from farm.registry.urls import url_login
from farm.settings import environment

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from urllib3 import BaseHTTPResponse

THREADS = 16
"""Connections to one host at once."""
_LONGEST_IDLE = 5.0
"""Seconds after which an idle connection is not used again: firewalls forget idle connections silently."""
_CA_FILE, _CA_DIRECTORY = "SSL_CERT_FILE", "SSL_CERT_DIR"
_SENT_AT_ONCE = 1 << 16
"""Bytes; the time limit of a socket counts for all of one call that sends."""


class _Connection(HTTPConnection):
    """A connection that expires when it is idle."""

    _last_used = 0.0

    def getresponse(self) -> Any:
        response = super().getresponse()
        self._last_used = time.monotonic()
        return response

    @property
    def is_connected(self) -> bool:
        return super().is_connected and time.monotonic() - self._last_used < _LONGEST_IDLE


class _SecureConnection(_Connection, HTTPSConnection):
    """The same with TLS."""


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _SecurePool(HTTPSConnectionPool):
    ConnectionCls = _SecureConnection


class _UnverifiedPool(_SecurePool):
    """For a registry that is declared insecure and redirects to TLS all the same."""

    def _validate_conn(self, conn: Any) -> None:
        # urllib3 would warn on standard error at each request.
        if conn.is_closed:
            conn.connect()


class Connections:
    """Connections to registries, token services and wherever they redirect to; safe to share between threads.

    Args:
        certs: directory of CA certificates, HOST[:PORT]/*.crt, trusted for that registry alone.
        authorities: CA certificates trusted for every registry, in addition to the usual ones.
        timeout: seconds to wait for a connection, and for each piece that is sent or received.
    """

    def __init__(self, *, certs: Path | None, authorities: Sequence[Path], timeout: float) -> None:
        self._certs = certs
        self._authorities = tuple(authorities)
        self._timeout = timeout
        self._lock = threading.Lock()
        self._managers: dict[tuple[str | None, str | None], PoolManager] = {}
        """By registry and proxy; the registry is "" for all without a CA of their own, None without TLS."""

    def request(
        self,
        method: str,
        url: str,
        *,
        registry: str | None,
        headers: Mapping[str, str],
        body: bytes | Iterable[bytes] | None,
    ) -> BaseHTTPResponse:
        """Send one request; the body of the response is not read yet, and redirects are not followed.

        Args:
            method: GET, HEAD, POST or PUT.
            url: where to.
            registry: HOST[:PORT] whose CAs verify the connection; None for a registry without TLS, which is
                reached without a proxy.
            headers: the headers.
            body: what is sent.

        Raises:
            urllib3.exceptions.HTTPError: no connection, or it broke.
            SettingsError: a CA certificate cannot be read, or the environment names an invalid proxy.
        """
        manager = self._manager_for(registry, url)
        return manager.urlopen(
            method,
            url,
            redirect=False,
            retries=False,
            headers=headers,
            body=body if body is None or isinstance(body, bytes) else _in_small_pieces(body),
            preload_content=False,
            pool_timeout=self._timeout,
        )

    def close(self) -> None:
        """Close all connections."""
        for manager in self._managers.values():
            manager.clear()

    @cached_property
    def _proxies(self) -> Proxies:
        return Proxies.from_environment()

    def _manager_for(self, registry: str | None, url: str) -> PoolManager:
        own = sorted((self._certs / registry).glob("*.crt")) if self._certs and registry else []
        with self._lock:
            if registry is None:
                if (None, None) not in self._managers:
                    self._managers[None, None] = _unverified_manager(self._timeout)
                return self._managers[None, None]
            key = registry if own else "", self._proxies.for_url(url)
            if key not in self._managers:
                context = tls_context([*self._authorities, *own])
                self._managers[key] = _manager(key[1], context, self._timeout)
            return self._managers[key]


def tls_context(certificates: Sequence[Path]) -> ssl.SSLContext:
    """A TLS context that trusts these CAs beside the usual ones.

    Raises:
        SettingsError: a file cannot be read, or contains no certificate.
    """
    context = _usual_context()
    for file in certificates:
        try:
            context.load_verify_locations(file)
        except OSError as error:
            raise SettingsError(f"{file}: cannot read a CA certificate: {error}") from error
    return context


def _usual_context() -> ssl.SSLContext:
    """The CAs of SSL_CERT_FILE or SSL_CERT_DIR, else those of certifi: a slim image has none of its own."""
    import certifi  # noqa: PLC0415 - a registry on loopback needs no CAs

    named = environment([_CA_FILE, _CA_DIRECTORY])
    file = named.get(_CA_FILE) or None
    directory = None if file else named.get(_CA_DIRECTORY) or None
    try:
        return ssl.create_default_context(
            cafile=file if file or directory else certifi.where(), capath=directory
        )
    except OSError as error:
        raise SettingsError(
            f"{file or directory}: cannot read CA certificates: {error}",
            hint=f"{_CA_FILE} and {_CA_DIRECTORY} name them",
        ) from error


def _in_small_pieces(body: Iterable[bytes]) -> Iterator[bytes]:
    for piece in body:
        for start in range(0, len(piece), _SENT_AT_ONCE):
            yield piece[start : start + _SENT_AT_ONCE]


def _unverified_manager(timeout: float) -> PoolManager:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return _manager(None, context, timeout, secure=_UnverifiedPool)


def _manager(
    proxy: str | None, context: ssl.SSLContext, timeout: float, secure: type[_SecurePool] = _SecurePool
) -> PoolManager:
    options: dict[str, Any] = {
        "timeout": Timeout(connect=timeout, read=timeout),
        "maxsize": THREADS,
        "block": True,
        "ssl_context": context,
    }
    manager = _proxy_manager(proxy, options) if proxy else PoolManager(**options)
    manager.pool_classes_by_scheme = {"http": _Pool, "https": secure}
    return manager


def _proxy_manager(proxy: str, options: dict[str, Any]) -> ProxyManager:
    """A manager that goes through a proxy, with the login of the proxy's URL."""
    parts = urlsplit(proxy)
    login = url_login(proxy)
    place = parts.netloc.rpartition("@")[2]
    try:
        return ProxyManager(
            f"{parts.scheme}://{place}",
            proxy_headers={"Proxy-Authorization": login} if login else None,
            proxy_ssl_context=_usual_context() if parts.scheme == "https" else None,
            **options,
        )
    except ProxySchemeUnknown as error:
        raise SettingsError(
            f"unsupported proxy {parts.scheme}://{place}",
            hint="the proxy variables name http or https proxies",
        ) from error
