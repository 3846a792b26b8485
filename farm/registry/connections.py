"""HTTP connections: reused, verified by the CAs of a registry, through the proxies of the environment."""

from __future__ import annotations

import ssl
import threading
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from urllib3 import HTTPConnectionPool, HTTPSConnectionPool, PoolManager, ProxyManager
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import ProxySchemeUnknown
from urllib3.util import Timeout

from farm import __version__
from farm.errors import SettingsError
from farm.model import DEFAULT_REGISTRY
from farm.registry.http_exchange import Response, authority, origin, split, url_login
from farm.registry.pace import PacedResponse
from farm.settings import environment
from farm.system.at_once import THREADS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from farm.registry.http_exchange import HttpRequest

_LONGEST_IDLE = 5.0
"""Seconds after which an idle connection is not used again: firewalls forget idle connections silently."""
_CA_FILE, _CA_DIRECTORY = "SSL_CERT_FILE", "SSL_CERT_DIR"
DOCKER_HUB = "registry-1.docker.io"
"""Where docker.io keeps its images."""
# A digest is that of the bytes as they are stored, and a few bytes of gzip may expand to gigabytes.
_HEADERS = {"Accept-Encoding": "identity", "User-Agent": f"linuxkit-farm/{__version__}"}
_SENT_AT_ONCE = 1 << 16
"""Bytes; the time limit of a socket counts for all of one call that sends."""


class _Connection(HTTPConnection):
    """A connection that expires when it is idle, and whose answers have a time limit as a whole."""

    response_class = PacedResponse
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


class Connections:
    """Connections to registries, token services and wherever they redirect; safe to share between threads."""

    def __init__(self, *, certs: Path | None, authorities: Sequence[Path], timeout: float) -> None:
        self._certs = certs
        self._authorities = tuple(authorities)
        self.timeout = timeout
        """Seconds that one answer may take."""
        self._lock = threading.Lock()
        self._managers: dict[tuple[str | None, str | None], PoolManager] = {}
        """By host and proxy; the host is "" for all without a CA of their own, None without TLS."""

    def request(self, request: HttpRequest, limit: float = 0.0) -> Response:
        """The response, its body unread; it must arrive within a limit in seconds, 0 for the usual one.

        A certificate is verified by the CAs of the host of the URL. Without TLS, there is no proxy.
        """
        raw = self._manager_for(request).urlopen(
            request.method,
            request.url,
            redirect=False,
            retries=False,
            headers={**_HEADERS, **request.headers},
            body=_in_small_pieces(request.body()) if callable(request.body) else request.body,
            preload_content=False,
            timeout=self._limits(request, limit),
            pool_timeout=self.timeout,
        )
        return Response(request.url, raw.status, raw.headers, raw, peer=request.peer, patience=self.timeout)

    def _limits(self, request: HttpRequest, limit: float) -> Timeout:
        # An upload may take as long as it makes progress: a limit for all would count its body.
        if callable(request.body):
            return Timeout(connect=self.timeout, read=self.timeout)
        return Timeout(total=limit or self.timeout)

    def close(self) -> None:
        """Close all connections."""
        for manager in self._managers.values():
            manager.clear()

    def _manager_for(self, request: HttpRequest) -> PoolManager:
        url = request.url
        host = authority(url) if origin(url)[0] == "https" else None
        own = self._own_authorities(host, request.peer.registry) if host else []
        proxy = proxy_for(url) if host else None
        key = host if own or not host else "", proxy
        with self._lock:
            if key not in self._managers:
                context = _tls_context([*self._authorities, *own]) if host else None
                self._managers[key] = _manager(proxy, context, self.timeout)
            return self._managers[key]

    def _own_authorities(self, host: str, registry: str) -> list[Path]:
        """The CAs of a HOST[:PORT]; those of the registry, too, for its token service on another port."""
        if not self._certs:
            return []
        is_registry = registry and split(f"//{host}").host == split(f"//{registry}").host
        also = registry if is_registry or (registry, host) == (DEFAULT_REGISTRY, DOCKER_HUB) else host
        return sorted(file for name in {host, also} for file in (self._certs / name).glob("*.crt"))


def proxy_for(url: str) -> str | None:
    """The URL of the proxy that the environment names for a URL; None for a direct connection.

    NO_PROXY is read as by the standard library: an entry is a host or a domain, with or without a port. A `*`
    among others and an IPv6 address in brackets count, too; a network or an entry with a scheme never does.
    """
    from urllib.request import getproxies, proxy_bypass  # noqa: PLC0415 - a registry on loopback needs none

    parts, proxies = split(url), getproxies()
    host = (parts.host or "").strip("[]")
    exempt = {entry.strip().lower() for entry in proxies.get("no", "").split(",")}
    if exempt & {"*", f"[{host}]", f"[{host}]:{parts.port}"}:
        return None
    if proxy_bypass(f"{host}:{parts.port}" if parts.port else host):
        return None
    proxy = proxies.get(parts.scheme or "") or proxies.get("all")
    return f"http://{proxy}" if proxy and "://" not in proxy else proxy


def _tls_context(certificates: Sequence[Path] = ()) -> ssl.SSLContext:
    """A TLS context that trusts these CAs, and those of SSL_CERT_FILE or SSL_CERT_DIR, else of certifi."""
    # Not the system's CAs: a slim image has none of its own.
    import certifi  # noqa: PLC0415 - a registry on loopback needs no CAs

    named = environment([_CA_FILE, _CA_DIRECTORY])
    file = named.get(_CA_FILE) or None
    directory = None if file else named.get(_CA_DIRECTORY) or None
    try:
        context = ssl.create_default_context(
            cafile=file if file or directory else certifi.where(), capath=directory
        )
    except OSError as error:
        raise SettingsError(
            f"{file or directory}: cannot read CA certificates: {error}",
            hint=f"{_CA_FILE} and {_CA_DIRECTORY} name them",
        ) from error
    for certificate in certificates:
        try:
            context.load_verify_locations(certificate)
        except OSError as error:
            raise SettingsError(f"{certificate}: cannot read a CA certificate: {error}") from error
    return context


def _in_small_pieces(body: Iterable[bytes]) -> Iterator[bytes]:
    for piece in body:
        for start in range(0, len(piece), _SENT_AT_ONCE):
            yield piece[start : start + _SENT_AT_ONCE]


def _manager(proxy: str | None, context: ssl.SSLContext | None, timeout: float) -> PoolManager:
    """A manager that goes through a proxy, if there is one; without a context, for http alone."""
    options: dict[str, Any] = {
        "timeout": timeout,
        "maxsize": THREADS,
        "block": True,
        "ssl_context": context,
    }
    manager = _proxy_manager(proxy, options) if proxy else PoolManager(**options)
    manager.pool_classes_by_scheme = {"http": _Pool, "https": _SecurePool}
    return manager


def _proxy_manager(proxy: str, options: dict[str, Any]) -> ProxyManager:
    """A manager that goes through a proxy, with the login of the proxy's URL."""
    parts, login = urlsplit(proxy), url_login(proxy)
    place = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
    try:
        return ProxyManager(
            place,
            proxy_headers={"Proxy-Authorization": login} if login else None,
            proxy_ssl_context=_tls_context() if parts.scheme == "https" else None,
            **options,
        )
    except ProxySchemeUnknown as error:
        raise SettingsError(
            f"unsupported proxy {place}", hint="the proxy variables name http or https proxies"
        ) from error
