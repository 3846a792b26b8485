"""The relay itself: it changes nothing that it was not told to, and breaks exactly what it was."""

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
from tests.support import http_faults
from tests.support.http_faults import HttpRelay, answer, http_relay

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from lab.lab import Lab

BLOB = bytes(range(256)) * 4096


@pytest.fixture
def relay(lab: Lab) -> Iterator[HttpRelay]:
    with http_relay(lab.registry) as relay:
        yield relay


@pytest.fixture
def client(relay: HttpRelay) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=relay.url, trust_env=False, timeout=10) as client:
        yield client


def upload(client: httpx.Client, blob: bytes = BLOB) -> str:
    """Push a blob as docker does: begun, sent in chunks, finished; returns its digest."""
    place = client.post("/v2/relay/test/blobs/uploads/").headers["Location"]
    pieces = (blob[at : at + 65536] for at in range(0, len(blob), 65536))
    place = client.patch(place, content=pieces).headers["Location"]
    digest = f"sha256:{hashlib.sha256(blob).hexdigest()}"
    assert client.put(f"{place}&digest={digest}").status_code == 201
    return digest


def test_what_no_fault_takes_passes_unchanged(relay: HttpRelay, client: httpx.Client) -> None:
    digest = upload(client)
    assert client.get(f"/v2/relay/test/blobs/{digest}").content == BLOB
    head = client.head(f"/v2/relay/test/blobs/{digest}")
    assert (head.status_code, head.headers["Content-Length"]) == (200, str(len(BLOB)))
    assert client.get("/v2/relay/test/manifests/none").status_code == 404
    assert relay.seen("PATCH", "/uploads/") == 1


def test_a_fault_takes_as_many_requests_as_it_should_and_no_others(
    relay: HttpRelay, client: httpx.Client
) -> None:
    fault = relay.breaks("GET", "/v2/$", answer(429, retry_after=7), times=2)
    assert client.get("/v2/relay/test/tags/list").status_code in (200, 404)
    refused = [client.get("/v2/") for _ in range(3)]
    assert [one.status_code for one in refused] == [429, 429, 200]
    assert refused[0].headers["Retry-After"] == "7"
    assert fault.hits == 2


def test_a_reset_in_the_middle_leaves_the_blob_unfinished(relay: HttpRelay, client: httpx.Client) -> None:
    relay.breaks("PATCH", "/uploads/", http_faults.reset(after=100_000))
    with pytest.raises(httpx.TransportError):
        upload(client, b"never" * 100_000)
    digest = upload(client)
    relay.breaks("GET", "/blobs/", http_faults.reset_answer(after=100_000))
    with pytest.raises(httpx.TransportError):
        client.get(f"/v2/relay/test/blobs/{digest}")


def test_silence_lasts_until_the_client_gives_up(relay: HttpRelay) -> None:
    relay.breaks("GET", "/v2/$", http_faults.silence())
    with pytest.raises(httpx.ReadTimeout):
        httpx.get(f"{relay.url}/v2/", trust_env=False, timeout=0.3)


def test_a_read_only_registry_is_read_and_not_written(relay: HttpRelay, client: httpx.Client) -> None:
    digest = upload(client)
    relay.read_only()
    assert client.post("/v2/relay/test/blobs/uploads/").status_code == 405
    assert client.get(f"/v2/relay/test/blobs/{digest}").content == BLOB


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
    lab: Lab, relay: HttpRelay, tmp_path: Path, fault: http_faults.Act
) -> None:
    reference = Reference.parse(lab.base.replace(lab.registry, relay.address))
    with Registry(Credentials.load(tmp_path), timeout=5) as registry:
        whole = registry.manifest(reference)
        relay.breaks("GET", "/manifests/", fault, times=float("inf"))
        with pytest.raises(RegistryError):
            registry.manifest(reference)
        relay.mend()
        assert registry.manifest(reference) == whole


def test_an_answer_that_is_lost_was_given(relay: HttpRelay, client: httpx.Client) -> None:
    blob = b"kept, and nobody heard"
    place = client.post("/v2/relay/test/blobs/uploads/").headers["Location"]
    digest = f"sha256:{hashlib.sha256(blob).hexdigest()}"
    relay.breaks("PUT", "/uploads/", http_faults.lost_answer())
    with pytest.raises(httpx.TransportError):
        client.put(f"{place}&digest={digest}", content=blob)
    assert client.get(f"/v2/relay/test/blobs/{digest}").content == blob


def test_tls_is_ended_and_begun_anew(lab: Lab) -> None:
    target = urlsplit(lab.notary_url).netloc
    with http_relay(target, tls=(lab.notary_ca, lab.notary_ca.with_name("server.key"))) as relay:
        relay.breaks("GET", "health", answer(503))
        trusting = ssl.create_default_context(cafile=lab.notary_ca)
        url = f"{relay.url}/_notary_server/health"
        statuses = [httpx.get(url, verify=trusting).status_code for _ in range(2)]
    assert statuses == [503, 200]
