"""What is attached to an image is found by its digest, with the referrers API and without."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import pytest

from farm.errors import RegistryDamagedError, RegistryDeniedError, RegistryUnavailableError
from farm.model import Descriptor, digest_of
from farm.registry import referrer_lists
from farm.registry.oci import OCI_INDEX, OCI_MANIFEST
from farm.registry.referrers import attach, find
from farm.system.deadline import Deadline
from lab.process import free_port
from tests.support.proxy.http_faults import answer, changed_header, other_bytes, preceded_by, reset, web_page

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.integration.registry.conftest import Repository
    from tests.support.proxy.http import Act, Exchange, HttpProxy

TYPE = "application/vnd.example.note"


@pytest.fixture(autouse=True)
def _unknown_registries(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ask each registry anew whether it has the API."""
    monkeypatch.setattr(referrer_lists, "_without_api", {})


@pytest.fixture
def image(repository: Repository) -> Descriptor:
    """An image to which nothing is attached."""
    return repository.push("arm64")


def note(repository: Repository, image: Descriptor, text: bytes, *, host: str = "") -> Descriptor:
    """Attach a text to an image."""
    name = repository.at(host) if host else repository.reference
    return attach(repository.registry, name, image, TYPE, text, {"by": "test"})


def notes(repository: Repository, image: Descriptor, *, host: str = "", limit: int = 32) -> list[bytes]:
    """The texts that are attached to an image."""
    name = repository.at(host) if host else repository.reference
    return list(find(repository.registry, name, image.digest, TYPE, limit=limit))


def listed(repository: Repository, image: Descriptor) -> list[dict[str, object]]:
    """What the list under the image's tag has."""
    tag = repository.reference.with_tag(image.digest.replace(":", "-"))
    entries: list[dict[str, object]] = json.loads(repository.registry.existing(tag).body)["manifests"]
    return entries


@pytest.mark.parametrize("size", [1, 200 << 10])
def test_what_is_attached_is_found_whatever_its_size(
    repository: Repository, image: Descriptor, size: int
) -> None:
    note(repository, image, b"x" * size)
    assert notes(repository, image) == [b"x" * size]
    assert notes(repository, repository.push("amd64")) == []


def test_attaching_the_same_again_changes_nothing(repository: Repository, image: Descriptor) -> None:
    first, second = (note(repository, image, b"one") for _ in range(2))
    assert first == second
    assert [entry["digest"] for entry in listed(repository, image)] == [first.digest]


def test_what_others_attached_is_kept(repository: Repository, image: Descriptor) -> None:
    registry, name = repository.registry, repository.reference
    foreign = attach(registry, name, image, "application/vnd.example.other", b"of another tool", {})
    note(repository, image, b"one")
    note(repository, image, b"two")
    assert notes(repository, image) == [b"two", b"one"]
    assert listed(repository, image)[-1]["digest"] == foreign.digest
    assert find(registry, name, image.digest, "application/vnd.example.other") == (b"of another tool",)


def test_a_small_artifact_is_read_with_two_requests(
    repository: Repository, image: Descriptor, proxy: HttpProxy
) -> None:
    note(repository, image, b"small")
    assert notes(repository, image, host=proxy.address) == [b"small"]
    assert proxy.seen("GET", "/referrers/") == 1  # Once for each registry.
    assert notes(repository, image, host=proxy.address) == [b"small"]
    assert (proxy.seen("GET", "/referrers/"), proxy.seen("GET", ""), proxy.seen("GET", "/blobs/")) == (
        1,
        5,
        0,
    )


def test_an_entry_that_another_client_overwrites_is_listed_again(
    repository: Repository, image: Descriptor, proxy: HttpProxy
) -> None:
    tag = repository.reference.with_tag(image.digest.replace(":", "-"))
    empty = json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": []}).encode()

    def overwrite() -> None:
        repository.registry.put_manifest(tag, OCI_INDEX, empty)

    proxy.breaks("GET", "/manifests/sha256-", preceded_by(lambda: None), times=1)
    proxy.breaks("GET", "/manifests/sha256-", preceded_by(overwrite), times=1)
    note(repository, image, b"one", host=proxy.address)
    assert notes(repository, image) == [b"one"]
    assert proxy.seen("PUT", "/manifests/sha256-") == 2


def test_no_answer_is_an_error_and_never_means_that_nothing_is_attached(
    repository: Repository, image: Descriptor, proxy: HttpProxy
) -> None:
    note(repository, image, b"one")
    hurried = replace(repository, registry=repository.registry.within(Deadline.after(0)))
    for path in ("/referrers/", "/manifests/sha256-", "/manifests/sha256:"):
        for fault in (answer(503), reset()):
            proxy.breaks("GET", path, fault, times=100)
            with pytest.raises(RegistryUnavailableError):
                notes(hurried, image, host=proxy.address)
            proxy.mend()
    with pytest.raises(RegistryUnavailableError):
        notes(hurried, image, host=f"localhost:{free_port()}")


@pytest.mark.parametrize("fault", [answer(404), answer(405), answer(403), answer(400), web_page()])
def test_a_registry_without_the_api_is_asked_for_it_once(
    repository: Repository, image: Descriptor, proxy: HttpProxy, fault: Act
) -> None:
    note(repository, image, b"one")
    proxy.breaks("GET", "/referrers/", fault, times=100)
    for _ in range(2):
        assert notes(repository, image, host=proxy.address) == [b"one"]
    assert proxy.seen("GET", "/referrers/") == 1


def test_a_login_that_may_not_read_is_an_error(
    repository: Repository, image: Descriptor, proxy: HttpProxy
) -> None:
    note(repository, image, b"one")
    proxy.breaks("GET|POST", "/referrers/|/manifests/|/uploads/", answer(403), times=100)
    with pytest.raises(RegistryDeniedError):
        notes(repository, image, host=proxy.address)


def test_damage_on_the_way_is_an_error_and_never_means_that_nothing_is_attached(
    repository: Repository, image: Descriptor, proxy: HttpProxy
) -> None:
    note(repository, image, b"one")
    proxy.breaks("GET", "/manifests/sha256:", other_bytes(), times=100)
    with pytest.raises(RegistryDamagedError, match="digest mismatch"):
        notes(repository, image, host=proxy.address)


@dataclass
class Api:
    """The referrers API, in front of a registry that has none."""

    proxy: HttpProxy
    pages: list[bytes] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.proxy.breaks("GET", r"/referrers/", self._page, times=1000)

    async def _page(self, exchange: Exchange) -> None:
        number = int(exchange.path.partition("page=")[2] or 0)
        following = f'</v2/x/referrers/y?page={number + 1}>; rel="next"'
        more = {"Link": following} if number + 1 < len(self.pages) else {}
        await exchange.answer(200, {"Content-Type": OCI_INDEX, **more}, self.pages[number])

    def lists(self, *entries: object) -> None:
        """Add a page."""
        self.pages.append(
            json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries}).encode()
        )

    def takes(self, image: Descriptor) -> None:
        """Answer to the manifests of artifacts as a registry with the API does."""
        self.proxy.breaks(
            "PUT", "/manifests/sha256:", changed_header("OCI-Subject", image.digest), times=1000
        )


@pytest.fixture
def api(proxy: HttpProxy) -> Api:
    return Api(proxy)


def entry(made: Descriptor) -> dict[str, object]:
    """What the API lists."""
    return {"mediaType": OCI_MANIFEST, "digest": made.digest, "size": made.size, "artifactType": TYPE}


def test_a_registry_with_the_api_keeps_no_list_under_a_tag(
    repository: Repository, image: Descriptor, api: Api
) -> None:
    api.takes(image)
    made = [note(repository, image, text, host=api.proxy.address) for text in (b"one", b"two")]
    assert repository.registry.head(repository.reference.with_tag(image.digest.replace(":", "-"))) is None
    api.lists(entry(made[0]))
    api.lists(entry(made[1]))
    assert notes(repository, image, host=api.proxy.address) == [b"one", b"two"]
    assert notes(repository, image, host=api.proxy.address, limit=1) == [b"one"]


def test_what_was_attached_before_a_registry_had_the_api_is_found(
    repository: Repository, image: Descriptor, api: Api
) -> None:
    api.lists()
    note(repository, image, b"one")
    assert notes(repository, image, host=api.proxy.address) == [b"one"]


def _hostile_pages(made: Descriptor, foreign: Descriptor) -> Iterator[bytes]:
    twice = [entry(made)] * 10_000
    absent = [entry(Descriptor(OCI_MANIFEST, digest_of(b"%d" % n), 9)) for n in range(40)]
    huge = [entry(Descriptor(OCI_MANIFEST, made.digest, 1 << 40))]
    wrong: list[object] = [
        1,
        None,
        {"digest": []},
        {**entry(made), "size": -1},
        {**entry(made), "artifactType": "other"},
    ]
    for manifests in (twice, absent, huge, wrong, [entry(foreign)], {"a": 1}, None):
        yield json.dumps({"manifests": manifests}).encode()
    yield from (b"", b"[]", b"3", b"null", b"<html>", b"[" * 100_000)


def test_a_false_list_of_the_api_hides_nothing_that_the_tag_lists(
    repository: Repository, image: Descriptor, api: Api
) -> None:
    made, foreign = note(repository, image, b"one"), note(repository, repository.push("amd64"), b"foreign")
    for page in _hostile_pages(made, foreign):
        api.pages[:] = [page]
        assert notes(repository, image, host=api.proxy.address) == [b"one"], page[:80]


def test_pages_without_end_are_not_followed(repository: Repository, image: Descriptor, api: Api) -> None:
    note(repository, image, b"one")
    for _ in range(1000):
        api.lists()
    assert notes(repository, image, host=api.proxy.address) == [b"one"]
    assert api.proxy.seen("GET", "/referrers/") < 20
