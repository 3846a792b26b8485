"""The HTTP proxy itself: it passes requests on unchanged, and breaks exactly those that a test chooses."""

from __future__ import annotations

import hashlib
import ssl
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import httpx
import pytest

from farm.errors import RegistryError
from farm.model import Reference
from farm.registry.client import Registry
from farm.registry.credentials import Credentials
from tests.support.proxy import http_faults
from tests.support.proxy.http import Act, HttpProxy, http_proxy
from tests.support.proxy.http_faults import answer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from lab.lab import Lab

BLOB = bytes(range(256)) * 4096


@pytest.fixture
def proxy(lab: Lab) -> Iterator[HttpProxy]:
    with http_proxy(lab.registry) as proxy:
        yield proxy


@pytest.fixture
def client(proxy: HttpProxy) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=proxy.url, trust_env=False, timeout=10) as client:
        yield client


def upload(client: httpx.Client, blob: bytes = BLOB) -> str:
    """Push a blob as docker does: begun, sent in chunks, finished; returns its digest."""
    place = client.post("/v2/proxy/test/blobs/uploads/").headers["Location"]
    pieces = (blob[at : at + 65536] for at in range(0, len(blob), 65536))
    place = client.patch(place, content=pieces).headers["Location"]
    digest = f"sha256:{hashlib.sha256(blob).hexdigest()}"
    assert client.put(f"{place}&digest={digest}").status_code == 201
    return digest


def test_what_no_fault_takes_passes_unchanged(proxy: HttpProxy, client: httpx.Client) -> None:
    digest = upload(client)
    assert client.get(f"/v2/proxy/test/blobs/{digest}").content == BLOB
    head = client.head(f"/v2/proxy/test/blobs/{digest}")
    assert (head.status_code, head.headers["Content-Length"]) == (200, str(len(BLOB)))
    assert client.get("/v2/proxy/test/manifests/none").status_code == 404
    assert proxy.seen("PATCH", "/uploads/") == 1


def test_a_fault_takes_as_many_requests_as_it_should_and_no_others(
    proxy: HttpProxy, client: httpx.Client
) -> None:
    fault = proxy.breaks("GET", "/v2/$", answer(429, retry_after=7), times=2)
    assert client.get("/v2/proxy/test/tags/list").status_code in (200, 404)
    refused = [client.get("/v2/") for _ in range(3)]
    assert [one.status_code for one in refused] == [429, 429, 200]
    assert refused[0].headers["Retry-After"] == "7"
    assert fault.hits == 2


def test_a_reset_in_the_middle_leaves_the_blob_unfinished(proxy: HttpProxy, client: httpx.Client) -> None:
    proxy.breaks("PATCH", "/uploads/", http_faults.reset(after=100_000))
    with pytest.raises(httpx.TransportError):
        upload(client, b"never" * 100_000)
    digest = upload(client)
    proxy.breaks("GET", "/blobs/", http_faults.reset_answer(after=100_000))
    with pytest.raises(httpx.TransportError):
        client.get(f"/v2/proxy/test/blobs/{digest}")


def test_silence_lasts_until_the_client_gives_up(proxy: HttpProxy) -> None:
    proxy.breaks("GET", "/v2/$", http_faults.silence())
    with pytest.raises(httpx.ReadTimeout):
        httpx.get(f"{proxy.url}/v2/", trust_env=False, timeout=0.3)


@pytest.mark.parametrize(
    "fault",
    [
        http_faults.truncated(keep=20),
        http_faults.truncated(keep=20, admits=True),
        http_faults.other_digest(),
        http_faults.other_bytes(),
    ],
    ids=["cut off", "cut short", "other digest", "other bytes"],
)
def test_a_damaged_manifest_is_never_taken_for_one(
    lab: Lab, proxy: HttpProxy, tmp_path: Path, fault: Act
) -> None:
    reference = Reference.parse(lab.base.replace(lab.registry, proxy.address))
    with Registry(Credentials.load(tmp_path), timeout=5) as registry:
        whole = registry.manifest(reference)
        proxy.breaks("GET", "/manifests/", fault, times=float("inf"))
        with pytest.raises(RegistryError):
            registry.manifest(reference)
        proxy.mend()
        assert registry.manifest(reference) == whole


def test_an_answer_that_is_lost_was_given(proxy: HttpProxy, client: httpx.Client) -> None:
    blob = b"stored, without an answer"
    place = client.post("/v2/proxy/test/blobs/uploads/").headers["Location"]
    digest = f"sha256:{hashlib.sha256(blob).hexdigest()}"
    proxy.breaks("PUT", "/uploads/", http_faults.lost_answer())
    with pytest.raises(httpx.TransportError):
        client.put(f"{place}&digest={digest}", content=blob)
    assert client.get(f"/v2/proxy/test/blobs/{digest}").content == blob


def test_tls_is_ended_and_begun_anew(lab: Lab) -> None:
    target = urlsplit(lab.notary_url).netloc
    with http_proxy(target, tls=(lab.notary_ca, lab.notary_ca.with_name("server.key"))) as proxy:
        proxy.breaks("GET", "health", answer(503))
        trusting = ssl.create_default_context(cafile=lab.notary_ca)
        url = f"{proxy.url}/_notary_server/health"
        statuses = [httpx.get(url, verify=trusting).status_code for _ in range(2)]
    assert statuses == [503, 200]
