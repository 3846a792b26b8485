"""Failures of a registry are retried if they may pass, else errors, and never count as missing images."""

from __future__ import annotations

import json
import re
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from farm.errors import RegistryDamagedError, RegistryDeniedError, RegistryError, RegistryUnavailableError
from farm.registry import http_failures, publish_index
from farm.registry.client import Manifest, Registry
from farm.registry.credentials import Credentials
from farm.registry.description import describe
from farm.registry.index import Index
from farm.registry.oci import DOCKER_MANIFEST, OCI_INDEX
from farm.registry.publish_index import IndexPublication, put
from farm.registry.published_images import arch_image, look_up_all, read_index
from farm.registry.release_tags import PreparedRelease, release
from farm.registry.transport import ATTEMPTS
from farm.system.deadline import Deadline
from lab.images import push_bytes
from lab.process import free_port
from tests.support.proxy.http import http_proxy
from tests.support.proxy.http_faults import (
    answer,
    changed_header,
    delayed,
    lost_answer,
    other_bytes,
    other_digest,
    preceded_by,
    reset,
    reset_answer,
    silence,
    truncated,
    web_page,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator
    from pathlib import Path

    from farm.model import Descriptor, Reference
    from tests.integration.registry.conftest import Repository
    from tests.support.proxy.http import Act, Exchange, HttpProxy

ALWAYS = float("inf")


@dataclass(frozen=True)
class Line:
    """A registry behind a proxy, with an image and an index that holds it."""

    repository: Repository
    proxy: HttpProxy
    pushed: Descriptor
    registry: Registry
    """A client that waits for a response for at most two seconds."""

    @property
    def index(self) -> Reference:
        """NAME:TAG by way of the proxy."""
        return self.repository.at(self.proxy.address)

    @property
    def target(self) -> Reference:
        """NAME:TAG-amd64 by way of the proxy."""
        return self.index.for_arch("amd64")


@pytest.fixture
def line(repository: Repository, proxy: HttpProxy, tmp_path: Path) -> Iterator[Line]:
    """The registry, and the way to it."""
    image = repository.push("amd64")
    repository.push_index(image)
    with Registry(Credentials(tmp_path / "none"), timeout=2) as registry:
        yield Line(repository, proxy, image, registry)


FAULTS = {
    "500": answer(500),
    "502": answer(502),
    "503": answer(503, retry_after=0),
    "429": answer(429, retry_after=0),
    "reset": reset(),
    "reset in the answer": reset_answer(after=20),
    "no answer": lost_answer(),
    "cut off": truncated(keep=20),
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_a_temporary_failure_is_retried(line: Line, fault: Act) -> None:
    broken = line.proxy.breaks("GET", "/manifests/", fault, times=2)
    found = line.registry.existing(line.target)
    assert found.descriptor.digest == line.pushed.digest
    assert broken.hits == 2
    assert line.proxy.seen("GET", "/manifests/") == 3


@pytest.mark.parametrize(
    "fault",
    [answer(500), answer(503), answer(429), reset(), truncated(keep=20), silence()],
    ids=["500", "503", "429", "reset", "cut off", "silence"],
)
def test_a_permanent_failure_is_reported_as_unavailable_after_some_attempts(line: Line, fault: Act) -> None:
    broken = line.proxy.breaks("GET", "/manifests/", fault, times=ALWAYS)
    begun = time.monotonic()
    with pytest.raises(RegistryUnavailableError) as caught:
        line.registry.manifest(line.target)
    assert caught.value.retryable
    assert line.proxy.address in str(caught.value)
    assert 1 <= broken.hits <= ATTEMPTS
    assert time.monotonic() - begun < 30


def test_nothing_is_retried_after_the_deadline_of_the_operation(line: Line) -> None:
    broken = line.proxy.breaks("GET", "/manifests/", answer(500), times=ALWAYS)
    with pytest.raises(RegistryUnavailableError):
        line.registry.within(Deadline.after(0)).manifest(line.target)
    assert broken.hits == 1


def test_no_round_of_publication_begins_after_the_deadline(line: Line) -> None:
    line.proxy.breaks("PUT", "/manifests/1$", answer(201, says=""), times=ALWAYS)
    built = [
        line.repository.image("amd64", line.pushed),
        line.repository.image("arm64", line.repository.push("arm64")),
    ]
    late = line.registry.within(Deadline.after(0))
    with pytest.raises(RegistryUnavailableError, match="accepted the push, but does not show it"):
        IndexPublication(late, line.index, built).publish(
            check_lease=lambda: None, sign=lambda _: None, stop=threading.Event()
        )
    assert line.proxy.seen("PUT", "/manifests/1$") == 1


def test_a_pause_is_as_long_as_the_registry_asks_for(line: Line) -> None:
    line.proxy.breaks("GET", "/manifests/", answer(429, retry_after=1), times=1)
    begun = time.monotonic()
    assert line.registry.manifest(line.target)
    assert time.monotonic() - begun >= 1


def test_a_long_pause_is_left_to_the_caller(line: Line) -> None:
    broken = line.proxy.breaks("GET", "/manifests/", answer(429, retry_after=3600), times=ALWAYS)
    with pytest.raises(RegistryUnavailableError) as caught:
        line.registry.manifest(line.target)
    assert (caught.value.pause, broken.hits) == (3600, 1)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        *((status, RegistryError) for status in (400, 405, 418)),
        *((status, RegistryDeniedError) for status in (401, 403)),
    ],
)
def test_an_error_that_a_retry_cannot_change_is_not_retried(
    line: Line, status: int, kind: type[RegistryError]
) -> None:
    broken = line.proxy.breaks(".*", "/manifests/", answer(status, says="not like that"), times=ALWAYS)
    line.proxy.breaks("POST", "/uploads/", answer(status), times=ALWAYS)
    with pytest.raises(RegistryError) as caught:
        line.registry.head(line.target)
    assert type(caught.value) is kind
    assert not caught.value.retryable
    assert broken.hits == 1
    with pytest.raises(RegistryError, match="not like that"):
        line.registry.manifest(line.target)


@pytest.mark.parametrize(
    ("status", "headers", "requests"),
    [
        (307, {"Location": "/v2/a/manifests/1"}, 11),
        (307, {"Location": "http://a.org:port/"}, 1),
        (307, {"Location": "ftp://a.org/"}, 1),
        (200, {"Content-Encoding": "gzip"}, 1),
    ],
    ids=["endless redirects", "malformed redirect", "redirect to ftp", "gzip"],
)
def test_an_answer_that_a_retry_cannot_change_is_not_requested_again(
    line: Line, status: int, headers: dict[str, str], requests: int
) -> None:
    line.proxy.breaks(
        "GET", "/manifests/", lambda exchange: exchange.answer(status, headers, b"nonsense"), times=ALWAYS
    )
    with pytest.raises(RegistryError, match=r"cannot be reached|sent a compressed answer") as caught:
        line.registry.manifest(line.target)
    assert (type(caught.value), line.proxy.seen("GET", "/manifests/")) == (RegistryError, requests)


@pytest.mark.parametrize("location", ["http://a.org:port/", "http://[a.org/", None])
def test_an_upload_without_a_valid_location_is_an_error_of_the_registry(
    line: Line, location: str | None
) -> None:
    headers = {"Location": location} if location else {}
    broken = line.proxy.breaks(
        "POST", "/blobs/uploads/", lambda exchange: exchange.answer(202, headers, b""), times=ALWAYS
    )
    with pytest.raises(RegistryError) as caught:
        push_bytes(line.registry, line.target, b"blob")
    assert (type(caught.value), broken.hits) == (RegistryError, 1)


@pytest.mark.parametrize("status", [400, 403, 500])
def test_an_error_never_counts_as_a_missing_image(line: Line, status: int) -> None:
    line.proxy.breaks(".*", "/manifests/1|/uploads/", answer(status), times=ALWAYS)
    nowhere = line.index
    for ask in (
        line.registry.head,
        line.registry.manifest,
        lambda one: read_index(line.registry, one),
        lambda one: arch_image(line.registry, one.for_arch("amd64"), "amd64"),
        lambda one: look_up_all(line.registry, {one: ["amd64"]}),
    ):
        with pytest.raises(RegistryError):
            ask(nowhere)


@pytest.mark.parametrize(
    ("path", "fault"),
    [
        ("/manifests/", other_bytes()),
        ("/manifests/", other_digest()),
        ("/manifests/", truncated(keep=20, admits=True)),
        ("/blobs/", other_bytes()),
    ],
    ids=["other bytes", "other digest", "cut off and admitted", "other configuration"],
)
def test_content_with_another_digest_is_refused(line: Line, path: str, fault: Act) -> None:
    line.proxy.breaks("GET", path, fault, times=ALWAYS)
    with pytest.raises(RegistryDamagedError, match="digest mismatch"):
        arch_image(line.registry, line.target, "amd64")


@pytest.mark.parametrize("header", ["Docker-Content-Digest", "Content-Length"])
def test_a_manifest_is_read_and_verified_if_a_head_response_lacks_a_header(line: Line, header: str) -> None:
    methods = "HEAD" if header == "Content-Length" else ".*"
    line.proxy.breaks(methods, "/manifests/", changed_header(header, None), times=ALWAYS)
    head = line.registry.head(line.target)
    assert head is not None
    assert (head.digest, head.size) == (line.pushed.digest, line.pushed.size)
    by_digest = line.registry.existing(line.target.with_digest(line.pushed.digest))
    assert by_digest.descriptor.digest == line.pushed.digest


@pytest.mark.parametrize(("tag", "what"), [("1", "index"), ("1-amd64", "manifest")])
def test_an_error_in_a_document_names_the_reference(line: Line, tag: str, what: str) -> None:
    media_type = OCI_INDEX if what == "index" else line.pushed.media_type

    def nonsense(exchange: Exchange) -> Awaitable[None]:
        return exchange.answer(200, {"Content-Type": media_type}, b"[]")

    line.proxy.breaks("GET", "/manifests/", nonsense, times=ALWAYS)
    reference = line.index.with_tag(tag)
    match = f"^{re.escape(reference.familiar)}: invalid {what}"
    with pytest.raises(RegistryError, match=match):
        describe(line.registry, reference)
    with pytest.raises(RegistryError, match=match):
        arch_image(line.registry, reference, "amd64")


def test_the_requests_of_a_blob_are_repeated_by_one_loop(line: Line) -> None:
    broken = line.proxy.breaks("HEAD", "/blobs/", answer(500), times=ALWAYS)
    with pytest.raises(RegistryUnavailableError):
        push_bytes(line.registry, line.target, b"blob")
    assert broken.hits == ATTEMPTS


def test_an_endless_answer_is_not_read_to_its_end(line: Line) -> None:
    line.proxy.breaks(
        "GET", "/manifests/", lambda exchange: exchange.answer(200, {}, bytes(9 << 20)), times=ALWAYS
    )
    with pytest.raises(RegistryError, match="more than 4 MiB"):
        line.registry.manifest(line.target)


def test_an_index_is_stored_once_although_the_response_was_lost(line: Line) -> None:
    broken = line.proxy.breaks("PUT", "/manifests/", lost_answer(), times=1)
    manifest = line.repository.registry.existing(line.repository.reference)
    assert put(line.registry, line.index.with_tag("again"), manifest)
    assert broken.hits == 1


def test_a_tag_that_another_client_overwrites_at_once_is_noticed(line: Line) -> None:
    mine = line.repository.registry.existing(line.repository.reference)
    other = line.repository.push("arm64")
    line.proxy.breaks(
        "GET", "/manifests/", preceded_by(lambda: line.repository.push_index(line.pushed, other)), times=1
    )
    assert not put(line.registry, line.index, mine)


def test_a_release_tag_that_is_not_there_is_an_error_after_all_others_were_put(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publish_index, "at_once", lambda call, items: [call(item) for item in items])
    line.proxy.breaks("PUT", "/manifests/v1$", answer(201, says=""), times=ALWAYS)
    index = line.repository.registry.existing(line.repository.reference)
    lost, kept = line.index.with_tag("v1"), line.index.with_tag("v2")
    in_haste = line.registry.within(Deadline.after(0.5))
    with pytest.raises(RegistryUnavailableError, match="v1: the registry accepted the push, but"):
        release(in_haste, PreparedRelease({lost: index, kept: index}, frozenset({lost, kept})))
    assert (line.registry.head(lost), line.registry.head(kept)) == (None, index.descriptor)


def old_index(line: Line) -> Act:
    """The answer of a replica that still has the index as it is now."""
    body = line.repository.registry.existing(line.repository.reference).body
    return lambda exchange: exchange.answer(200, {"Content-Type": OCI_INDEX}, body)


@pytest.mark.parametrize("replica", ["has nothing", "has the index from before"])
def test_an_index_is_published_although_a_replica_shows_it_late(line: Line, replica: str) -> None:
    tag, late = ("2", answer(404)) if replica == "has nothing" else ("1", old_index(line))
    target = line.index.with_tag(tag)
    before = line.registry.head(target)
    new = Index((line.repository.push("arm64"),))
    broken = line.proxy.breaks("GET", f"/manifests/{tag}$", late, times=4)
    manifest = Manifest(new.descriptor(), new.body())
    assert put(line.registry, target, manifest, before.digest if before else None)
    assert (broken.hits, line.proxy.seen("PUT", f"/manifests/{tag}$")) == (4, 1)


def test_an_index_whose_members_are_not_on_every_replica_yet_is_sent_again(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_failures, "_SETTLING", 0.1)
    says = json.dumps({"errors": [{"code": "MANIFEST_BLOB_UNKNOWN", "message": "unknown"}]}).encode()
    line.proxy.breaks("PUT", "/manifests/", lambda exchange: exchange.answer(404, {}, says), times=2)
    manifest = line.repository.registry.existing(line.repository.reference)
    assert put(line.registry, line.index.with_tag("again"), manifest)


def test_an_index_that_a_registry_accepts_and_never_shows_is_not_blamed_on_another_client(line: Line) -> None:
    line.proxy.breaks("PUT", "/manifests/", answer(201), times=ALWAYS)
    manifest = line.repository.registry.existing(line.repository.reference)
    with pytest.raises(RegistryUnavailableError, match="accepted the push, but does not show it"):
        put(line.registry.within(Deadline.after(0.3)), line.index.with_tag("never"), manifest)


@pytest.mark.parametrize("sent_as", ["application/json", "text/plain", "", DOCKER_MANIFEST])
def test_a_manifest_is_what_it_says_and_not_what_a_proxy_calls_it(line: Line, sent_as: str) -> None:
    published = line.repository.registry.head(line.repository.reference)
    line.proxy.breaks(
        "GET|HEAD", "/manifests/", changed_header("Content-Type", sent_as or None), times=ALWAYS
    )
    assert read_index(line.registry, line.index)[1] == published
    image = arch_image(line.registry, line.target, "amd64")
    assert image is not None
    assert image.descriptors == (line.pushed,)
    if sent_as != DOCKER_MANIFEST:
        assert line.registry.head(line.index) == published


def test_a_login_page_is_never_taken_for_an_answer(line: Line) -> None:
    line.proxy.breaks(".*", "^/v2/", web_page(), times=ALWAYS)
    asked: list[Callable[[], object]] = [
        lambda: line.registry.ping(line.proxy.address),
        lambda: line.registry.head(line.index),
        lambda: line.registry.manifest(line.index),
        lambda: line.registry.blob(line.index, line.pushed.digest),
        lambda: line.registry.put_manifest(line.index, OCI_INDEX, b"{}"),
        lambda: push_bytes(line.registry, line.index, b"blob"),
    ]
    for ask in asked:
        with pytest.raises(
            RegistryError, match=f"{line.proxy.address} answered .* with a web page"
        ) as caught:
            ask()
        assert not caught.value.retryable


def test_a_registry_may_call_an_answer_without_content_a_web_page(line: Line) -> None:
    """Quay does: its answers to uploads and to /v2/ have the default type of its web framework."""
    page = changed_header("Content-Type", "text/html; charset=utf-8")
    line.proxy.breaks("POST|PUT|PATCH", "^/v2/", page, times=ALWAYS)
    line.proxy.breaks("GET", "^/v2/$", page, times=ALWAYS)
    line.registry.ping(line.proxy.address)
    push_bytes(line.registry, line.index, b"blob of a page")
    line.registry.put_manifest(line.index, OCI_INDEX, line.registry.existing(line.index).body)


def test_an_answer_that_is_no_manifest_is_reported_as_that(line: Line) -> None:
    hello = {"Content-Type": "application/json"}
    line.proxy.breaks("GET", "/manifests/", lambda exchange: exchange.answer(200, hello, b"{}"), times=ALWAYS)
    match = f"^{re.escape(line.index.familiar)}: the answer is not a manifest, but application/json"
    with pytest.raises(RegistryError, match=match):
        line.registry.manifest(line.index)


def test_the_host_that_a_redirect_leads_to_is_named_if_it_cannot_be_reached(line: Line) -> None:
    away = f"localhost:{free_port()}"
    location = {"Location": f"http://{away}/blob"}
    line.proxy.breaks(".*", "/blobs/", lambda exchange: exchange.answer(307, location, b""), times=ALWAYS)
    match = f"^{away}, to which the registry {line.proxy.address} redirects, cannot be reached"
    with pytest.raises(RegistryUnavailableError, match=match):
        line.registry.blob(line.index, line.pushed.digest)


def test_a_refusal_of_the_host_that_a_redirect_leads_to_is_not_blamed_on_the_login(line: Line) -> None:
    with http_proxy(line.repository.reference.registry) as store:
        store.breaks("GET", "/blob", answer(403, says="expired"), times=ALWAYS)
        location = {"Location": f"{store.url}/blob"}
        line.proxy.breaks(".*", "/blobs/", lambda exchange: exchange.answer(307, location, b""), times=ALWAYS)
        with pytest.raises(
            RegistryError, match=f"^{store.address}, .*answered GET /blob with 403: expired"
        ) as e:
            line.registry.blob(line.index, line.pushed.digest)
    assert type(e.value) is RegistryError


def test_a_token_service_that_cannot_be_reached_is_named(line: Line) -> None:
    away = f"localhost:{free_port()}"
    challenge = {"WWW-Authenticate": f'Bearer realm="http://{away}/token"'}
    line.proxy.breaks(".*", "^/v2/", lambda exchange: exchange.answer(401, challenge, b""), times=ALWAYS)
    match = f"^{away}, the token service of the registry {line.proxy.address}, cannot be reached"
    with pytest.raises(RegistryUnavailableError, match=match):
        line.registry.head(line.index)


def test_a_proxy_that_limits_uploads_is_reported_as_the_cause_at_once(line: Line) -> None:
    broken = line.proxy.breaks("PUT", "/uploads/", answer(413), times=ALWAYS)
    with pytest.raises(RegistryError, match=r"413.*a proxy in front of the registry limits") as caught:
        push_bytes(line.registry, line.index, b"blob")
    assert (caught.value.retryable, broken.hits) == (False, 1)


def test_the_advice_for_a_repository_that_must_be_created_first_is_to_create_it(line: Line) -> None:
    says = json.dumps({"errors": [{"code": "NAME_UNKNOWN", "message": "no such repository"}]}).encode()
    line.proxy.breaks("POST", "/uploads/", lambda exchange: exchange.answer(404, {}, says), times=ALWAYS)
    with pytest.raises(RegistryError, match="create the repository first"):
        push_bytes(line.registry, line.index, b"blob")


def test_a_slow_registry_is_waited_for_within_the_time_limit(line: Line) -> None:
    line.proxy.breaks("GET", "/manifests/", delayed(0.5), times=1)
    assert line.registry.manifest(line.target)
    assert line.proxy.seen("GET", "/manifests/") == 1


def test_an_unreachable_registry_is_reported_as_unavailable(line: Line) -> None:
    for host in (f"localhost:{free_port()}", "no-such-host.invalid"):
        with pytest.raises(RegistryUnavailableError, match="cannot be reached"):
            line.registry.head(line.repository.at(host))
