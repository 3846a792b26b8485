"""Connections are reused unless idle; the environment names their proxies; TLS settings are checked."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from socketserver import BaseRequestHandler, ThreadingTCPServer
from typing import TYPE_CHECKING

import pytest
from urllib3.exceptions import HTTPError, LocationParseError, ProxyError

from farm.errors import SettingsError
from farm.registry import connections
from farm.registry.connections import Connections
from farm.registry.http_exchange import HttpRequest

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path


@contextmanager
def server(
    answer: bytes = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
) -> Iterator[tuple[str, list[bytes]]]:
    """HOST:PORT of a server with one answer to everything, and the first request of each connection."""
    first: list[bytes] = []

    class Handler(BaseRequestHandler):
        def handle(self) -> None:
            first.append(self.request.recv(65536))
            self.request.sendall(answer)
            while self.request.recv(65536):
                self.request.sendall(answer)

    with ThreadingTCPServer(("127.0.0.1", 0), Handler) as tcp:
        tcp.daemon_threads = True
        thread = threading.Thread(target=tcp.serve_forever)
        thread.start()
        yield f"127.0.0.1:{tcp.server_address[1]}", first
        tcp.shutdown()
        thread.join()


def get(pool: Connections, url: str) -> bytes:
    response = pool.request(HttpRequest("GET", url))
    response.read()
    response.close()
    return response.body


def new_pool(certs: Path | None = None, authorities: Sequence[Path] = ()) -> Connections:
    return Connections(certs=certs, authorities=authorities, timeout=10)


@pytest.mark.parametrize(("idle", "expected"), [(60.0, 1), (-1.0, 3)])
def test_a_connection_is_reused_unless_it_was_idle(
    monkeypatch: pytest.MonkeyPatch, idle: float, expected: int
) -> None:
    monkeypatch.setattr(connections, "_LONGEST_IDLE", idle)
    pool = new_pool()
    with server() as (place, connected):
        assert [get(pool, f"http://{place}/") for _ in range(3)] == [b"ok"] * 3
        pool.close()
    assert len(connected) == expected


@pytest.fixture
def proxies(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """An environment without proxies."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    return monkeypatch


@pytest.mark.parametrize(
    ("entry", "exempted", "others"),
    [
        ("example.com", ["example.com", "www.example.com", "example.com:8443"], ["notexample.com"]),
        (".example.com", ["www.example.com", "example.com"], ["notexample.com"]),
        ("EXAMPLE.com", ["example.com"], []),
        ("example.com:8443", ["example.com:8443"], ["example.com"]),
        ("10.0.0.1", ["10.0.0.1", "10.0.0.1:5000"], ["10.0.0.10", "110.0.0.1"]),
        ("10.0.0.0/8", [], ["10.0.0.1"]),
        ("::1", ["[::1]", "[::1]:5000"], ["[::2]"]),
        ("[::1]", ["[::1]", "[::1]:5000"], ["[::2]"]),
        ("[::1]:5000", ["[::1]:5000"], ["[::1]"]),
        ("localhost", ["localhost:5000"], ["localhost.org"]),
        ("a.org, b.org ,", ["a.org", "b.org"], ["c.org"]),
        ("*", ["example.com", "10.0.0.1"], []),
        ("a.org, *", ["example.com"], []),
        ("https://example.com", [], ["example.com"]),
        ("example.com:port", [], ["example.com"]),
    ],
)
def test_no_proxy_exempts_hosts(
    proxies: pytest.MonkeyPatch, entry: str, exempted: list[str], others: list[str]
) -> None:
    proxies.setenv("HTTPS_PROXY", "http://proxy:3128")
    proxies.setenv("NO_PROXY", entry)
    found = {host: connections.proxy_for(f"https://{host}/v2/") for host in (*exempted, *others)}
    assert found == dict.fromkeys(exempted) | dict.fromkeys(others, "http://proxy:3128")


@pytest.mark.parametrize("url", ["https://a.org:port/v2/", "https://a.org:99999/", "https://[a.org/"])
def test_a_malformed_url_is_no_internal_error(url: str) -> None:
    with pytest.raises(LocationParseError):
        connections.proxy_for(url)


def test_a_scheme_has_its_own_proxy_or_that_of_all(proxies: pytest.MonkeyPatch) -> None:
    proxies.setenv("http_proxy", "http://other:1")
    assert connections.proxy_for("https://a.org") is None
    proxies.setenv("ALL_PROXY", "proxy:3128")
    assert connections.proxy_for("http://a.org") == "http://other:1"
    # The scheme of a proxy may be left out.
    assert connections.proxy_for("https://a.org") == "http://proxy:3128"


def test_a_proxy_gets_the_login_of_its_url(proxies: pytest.MonkeyPatch) -> None:
    with server(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n") as (place, received):
        proxies.setenv("https_proxy", f"http://ann:p%40ss@{place}")
        with pytest.raises(HTTPError) as caught:
            get(new_pool(), "https://a.org/v2/")
    assert isinstance(caught.value, ProxyError) or "403" in str(caught.value)
    assert received[0].startswith(b"CONNECT a.org:443 ")
    assert b"Proxy-Authorization: Basic YW5uOnBAc3M=\r\n" in received[0]


def test_a_registry_without_tls_is_reached_directly(proxies: pytest.MonkeyPatch) -> None:
    proxies.setenv("http_proxy", "http://127.0.0.1:9")
    with server() as (place, _):
        assert get(new_pool(), f"http://{place}/") == b"ok"


def test_an_unsupported_proxy_is_an_error_of_the_settings(proxies: pytest.MonkeyPatch) -> None:
    proxies.setenv("https_proxy", "socks5://ann:secret@proxy:1080")
    with pytest.raises(SettingsError, match="unsupported proxy socks5://proxy:1080"):
        get(new_pool(), "https://a.org/v2/")


@pytest.mark.parametrize("name", ["SSL_CERT_FILE", "certs", "authorities"])
def test_a_file_without_certificates_is_an_error_of_the_settings(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str
) -> None:
    file = tmp_path / "a.org" / "ca.crt"
    file.parent.mkdir()
    file.write_text("nothing")
    if name == "SSL_CERT_FILE":
        monkeypatch.setenv(name, str(file))
    certs, authorities = tmp_path if name == "certs" else None, [file] if name == "authorities" else []
    with pytest.raises(SettingsError, match=r"ca\.crt"):
        get(new_pool(certs, authorities), "https://a.org/v2/")
