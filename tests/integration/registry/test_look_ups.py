"""Looking up many packages costs few requests: fixed content is fetched once, permissions come together."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

import pytest

from farm.errors import RegistryDamagedError, RegistryDeniedError
from farm.model import Reference, digest_of
from farm.registry.client import Registry
from farm.registry.credentials import Credentials
from farm.registry.digest_cache import CachedContent, DigestCache
from farm.registry.published_images import read_indexes
from tests.integration.registry.conftest import logins
from tests.integration.registry.test_logins import ALWAYS, login_of
from tests.support.proxy.http import Exchange, HttpProxy, http_proxy

if TYPE_CHECKING:
    from collections.abc import Awaitable, Iterator
    from pathlib import Path

    from lab.lab import Lab
    from tests.integration.registry.conftest import Repository


@pytest.fixture
def cache(tmp_path: Path) -> DigestCache:
    return DigestCache(tmp_path / "content")


@pytest.fixture
def client(tmp_path: Path, cache: DigestCache) -> Iterator[Registry]:
    """A client that keeps what never changes."""
    with Registry(Credentials(tmp_path / "none"), timeout=10, content=cache) as registry:
        yield registry


def requests(proxy: HttpProxy) -> tuple[int, int]:
    """How many HEAD and GET requests of manifests and blobs were made."""
    return proxy.seen("HEAD", "/v2/.+"), proxy.seen("GET", "/v2/.+")


def test_a_manifest_is_fetched_once_and_then_only_asked_for(
    repository: Repository, proxy: HttpProxy, client: Registry
) -> None:
    pushed, target = repository.push("amd64"), repository.at(proxy.address).for_arch("amd64")
    for _ in range(3):
        found = client.manifest(target)
        assert found is not None
        assert found.descriptor == replace(pushed, platform=None)
    assert requests(proxy) == (3, 1)


def test_a_tag_that_moves_is_seen_at_once(repository: Repository, proxy: HttpProxy, client: Registry) -> None:
    target = repository.at(proxy.address).for_arch("amd64")
    for _ in range(2):
        pushed = repository.push("amd64")
        found = client.manifest(target)
        assert found is not None
        assert found.descriptor.digest == pushed.digest


def test_a_missing_tag_costs_one_request_that_is_no_pull(
    repository: Repository, proxy: HttpProxy, client: Registry
) -> None:
    assert client.manifest(repository.at(proxy.address)) is None
    assert requests(proxy) == (1, 0)


def test_what_a_digest_names_is_fetched_once_by_all_processes(
    repository: Repository, proxy: HttpProxy, cache: DigestCache, tmp_path: Path
) -> None:
    pushed = repository.push("amd64")
    target = repository.at(proxy.address).with_digest(pushed.digest)
    for _ in range(2):
        with Registry(Credentials(tmp_path / "none"), timeout=10, content=cache) as registry:
            found = registry.manifest(target)
        assert found is not None
    assert requests(proxy) == (0, 1)


def test_damaged_or_foreign_content_in_the_cache_is_fetched_again(
    repository: Repository, proxy: HttpProxy, client: Registry, tmp_path: Path
) -> None:
    target = repository.at(proxy.address).with_digest(repository.push("amd64").digest)
    assert client.manifest(target) is not None
    (file,) = (tmp_path / "content").iterdir()
    file.write_bytes(file.read_bytes() + b" ")
    assert client.manifest(target) is not None
    assert requests(proxy) == (0, 2)


def test_false_content_of_a_registry_is_not_kept(
    repository: Repository, proxy: HttpProxy, client: Registry, tmp_path: Path
) -> None:
    target = repository.at(proxy.address).with_digest(repository.push("amd64").digest)
    proxy.breaks(
        "GET", "manifests", lambda exchange: exchange.answer(200, {}, b'{"manifests": []}'), times=ALWAYS
    )
    with pytest.raises(RegistryDamagedError, match="digest mismatch"):
        client.within(client.deadline).manifest(target)
    assert not (tmp_path / "content").exists()


def test_a_cache_that_cannot_be_written_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    cache = DigestCache(tmp_path / "file" / "content")
    cache.put(digest_of(b"x"), CachedContent("", b"x"))
    assert cache.get(digest_of(b"x")) is None


@pytest.mark.parametrize("digest", ["sha256:../../etc/passwd", "sha512:00", "", "sha256:"])
def test_only_digests_are_names_of_files(tmp_path: Path, digest: str) -> None:
    cache = DigestCache(tmp_path / "content")
    cache.put(digest, CachedContent("", b"x"))
    assert cache.get(digest) is None
    assert not (tmp_path / "content").exists()


def test_old_content_makes_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("farm.registry.digest_cache._MOST", 10)
    monkeypatch.setattr("farm.registry.digest_cache._CHECKED_EACH", 1)
    cache = DigestCache(tmp_path / "content")
    for number in range(40):
        content = str(number).encode()
        cache.put(digest_of(content), CachedContent("", content))
        assert cache.get(digest_of(content)) is not None
    assert len(list((tmp_path / "content").iterdir())) <= 10


SCOPES = 60


def _service(proxy: HttpProxy, granted: int, most: int = SCOPES) -> list[list[str]]:
    """A registry that takes a token for its repository alone, and a service that grants some of the scopes.

    The service refuses more than `most` at once. Returns the scopes of each request of a token.
    """
    challenge = f'Bearer realm="{proxy.url}/token",service="lab"'
    asked: list[list[str]] = []

    def token(exchange: Exchange) -> Awaitable[None]:
        scopes = parse_qs(urlsplit(exchange.path).query)["scope"]
        asked.append(scopes)
        if len(scopes) > most:
            return exchange.answer(400, {}, b"too many scopes")
        names = ",".join(scope.split(":")[1].replace("/", ".") for scope in scopes[:granted])
        return exchange.answer(200, {}, f'{{"token": "{names}"}}'.encode())

    def guard(exchange: Exchange) -> Awaitable[None]:
        name = exchange.path.removeprefix("/v2/").partition("/manifests/")[0].replace("/", ".")
        if name and name in login_of(exchange).removeprefix("Bearer ").split(","):
            return exchange.pass_on()
        return exchange.answer(401, {"WWW-Authenticate": challenge}, b"")

    proxy.breaks("GET", "^/token", token, times=ALWAYS)
    proxy.breaks(".*", "^/v2/", guard, times=ALWAYS)
    return asked


@pytest.mark.parametrize("granted", [SCOPES, 1])
def test_permissions_for_many_repositories_are_requested_together(
    repository: Repository, proxy: HttpProxy, client: Registry, granted: int
) -> None:
    """Also from a token service that grants only one scope at a time: then each is asked for again."""
    asked = _service(proxy, granted)
    base = repository.at(proxy.address)
    names = [base._replace(repository=f"{base.repository}-{number}") for number in range(SCOPES)]
    assert set(read_indexes(client, names).values()) == {(None, None)}
    assert len(asked[0]) > 20
    if granted == SCOPES:
        assert len(asked) == 3
        # One to see how the registry grants, and one for each.
        assert proxy.seen("GET", "^/v2/$") == 1
        assert proxy.seen("HEAD", "/v2/") == SCOPES
    else:
        assert sorted(scope for scopes in asked for scope in scopes if len(scopes) == 1)


def test_one_login_is_enough_for_many_repositories(lab: Lab, tmp_path: Path) -> None:
    with http_proxy(lab.guarded_registry) as proxy:
        account = logins(tmp_path, **{proxy.address: ":".join(lab.guarded_login)})
        names = [Reference(proxy.address, f"n{number}/foo", "1") for number in range(10)]
        with Registry(account, timeout=10) as registry:
            assert set(read_indexes(registry, names).values()) == {(None, None)}
        assert proxy.seen(".*", "/v2/.+") == 10


def test_a_token_service_that_refuses_many_scopes_is_asked_for_each(
    repository: Repository, proxy: HttpProxy, client: Registry
) -> None:
    asked = _service(proxy, SCOPES, most=1)
    base = repository.at(proxy.address)
    names = [base._replace(repository=f"{base.repository}-{number}") for number in range(5)]
    assert set(read_indexes(client, names).values()) == {(None, None)}
    assert [len(scopes) for scopes in asked] == [5, 1, 1, 1, 1, 1]


def test_a_refused_login_is_an_error_and_not_an_absence(lab: Lab, tmp_path: Path) -> None:
    wrong = logins(tmp_path, **{lab.guarded_registry: "farm:wrong"})
    names = [Reference(lab.guarded_registry, f"n{number}/foo", "1") for number in range(10)]
    with Registry(wrong, timeout=10) as registry, pytest.raises(RegistryDeniedError):
        read_indexes(registry, names)
