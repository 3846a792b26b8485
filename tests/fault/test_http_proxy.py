"""The HTTP proxy itself: it passes requests on unchanged, and breaks exactly those that a test chooses."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest
from urllib3.exceptions import HTTPError, ReadTimeoutError

from farm.errors import RegistryError
from farm.model import Reference, digest_of
from farm.registry.client import Registry
from farm.registry.credentials import Credentials
from tests.support.http import send
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


def upload(proxy: HttpProxy, blob: bytes = BLOB) -> str:
    """Push a blob as docker does: begun, sent in chunks, finished; returns its digest."""
    place = start_upload(proxy)
    pieces = (blob[at : at + 65536] for at in range(0, len(blob), 65536))
    place = send("PATCH", place, body=pieces).headers["Location"]
    assert send("PUT", f"{place}&digest={digest_of(blob)}").status == 201
    return digest_of(blob)


def start_upload(proxy: HttpProxy) -> str:
    return send("POST", f"{proxy.url}/v2/proxy/test/blobs/uploads/").headers["Location"]


def download(proxy: HttpProxy, digest: str) -> bytes:
    return send("GET", f"{proxy.url}/v2/proxy/test/blobs/{digest}").data


def test_what_no_fault_takes_passes_unchanged(proxy: HttpProxy) -> None:
    digest = upload(proxy)
    assert download(proxy, digest) == BLOB
    head = send("HEAD", f"{proxy.url}/v2/proxy/test/blobs/{digest}")
    assert (head.status, head.headers["Content-Length"]) == (200, str(len(BLOB)))
    assert send("GET", f"{proxy.url}/v2/proxy/test/manifests/none").status == 404
    assert proxy.seen("PATCH", "/uploads/") == 1


def test_a_fault_takes_as_many_requests_as_it_should_and_no_others(proxy: HttpProxy) -> None:
    fault = proxy.breaks("GET", "/v2/$", answer(429, retry_after=7), times=2)
    assert send("GET", f"{proxy.url}/v2/proxy/test/tags/list").status in (200, 404)
    refused = [send("GET", f"{proxy.url}/v2/") for _ in range(3)]
    assert [one.status for one in refused] == [429, 429, 200]
    assert refused[0].headers["Retry-After"] == "7"
    assert fault.hits == 2


def test_a_reset_in_the_middle_leaves_the_blob_unfinished(proxy: HttpProxy) -> None:
    proxy.breaks("PATCH", "/uploads/", http_faults.reset(after=100_000))
    with pytest.raises(HTTPError):
        upload(proxy, b"never" * 100_000)
    digest = upload(proxy)
    proxy.breaks("GET", "/blobs/", http_faults.reset_answer(after=100_000))
    with pytest.raises(HTTPError):
        download(proxy, digest)


def test_silence_lasts_until_the_client_gives_up(proxy: HttpProxy) -> None:
    proxy.breaks("GET", "/v2/$", http_faults.silence())
    with pytest.raises(ReadTimeoutError):
        send("GET", f"{proxy.url}/v2/", timeout=0.3)


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


def test_an_answer_that_is_lost_was_given(proxy: HttpProxy) -> None:
    blob = b"stored, without an answer"
    place, digest = start_upload(proxy), digest_of(blob)
    proxy.breaks("PUT", "/uploads/", http_faults.lost_answer())
    with pytest.raises(HTTPError):
        send("PUT", f"{place}&digest={digest}", body=blob)
    assert download(proxy, digest) == blob


def test_tls_is_ended_and_begun_anew(lab: Lab) -> None:
    target = urlsplit(lab.notary_url).netloc
    with http_proxy(target, tls=(lab.notary_ca, lab.notary_ca.with_name("server.key"))) as proxy:
        proxy.breaks("GET", "health", answer(503))
        trusting = ssl.create_default_context(cafile=lab.notary_ca)
        url = f"{proxy.url}/_notary_server/health"
        statuses = [send("GET", url, tls=trusting).status for _ in range(2)]
    assert statuses == [503, 200]
