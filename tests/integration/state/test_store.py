"""A Redis with TLS is used only if its certificate is trusted."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from farm.errors import StateDeniedError, StateUnavailableError
from farm.settings import Secret
from farm.state.store import Store
from lab.process import Service, free_port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def secure(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """The URL of a Redis with TLS, and its certificate, which is its own CA."""
    certificate, key, port = tmp_path / "ca.crt", tmp_path / "key.pem", free_port()
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    files = ["-keyout", str(key), "-out", str(certificate)]
    make = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30", *names, *files]
    subprocess.run(make, check=True, capture_output=True, timeout=60)
    tls = ["--tls-port", str(port), "--tls-cert-file", str(certificate), "--tls-key-file", str(key)]
    options = [*tls, "--tls-ca-cert-file", str(certificate), "--tls-auth-clients", "no", "--save", ""]
    url = f"rediss://localhost:{port}/0"
    service = Service(
        "redis", ["redis-server", "--port", "0", *options], tmp_path, lambda: answers(url, certificate)
    )
    service.start()
    yield url, certificate
    service.stop()


def answers(url: str, ca: Path) -> bool:
    """Whether a Redis answers to a client that trusts this CA."""
    store = Store(Secret(f"{url}?ssl_ca_certs={ca}"), timeout=2)
    try:
        store.ping()
    except StateUnavailableError:
        return False
    finally:
        store.close()
    return True


def test_a_redis_whose_certificate_is_not_trusted_is_reported_as_that_and_not_waited_for(
    secure: tuple[str, Path],
) -> None:
    store = Store(Secret(secure[0]))
    with pytest.raises(StateDeniedError, match="certificate of Redis is not trusted: self-signed") as caught:
        store.ping()
    assert (caught.value.exit_code, caught.value.retryable) == (4, False)
    store.close()
