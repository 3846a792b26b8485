"""Which login is sent where, how a challenge is answered, and that no secret is shown."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from farm import __version__
from farm.errors import RegistryDeniedError, RegistryError, SettingsError
from farm.registry.client import Registry
from farm.registry.credentials import Credentials
from farm.registry.published_images import look_up_all
from farm.system.at_once import at_once
from tests.integration.registry.conftest import configured, logins
from tests.support.proxy.http import Act, Exchange, HttpProxy, http_proxy

if TYPE_CHECKING:
    from collections.abc import Awaitable, Iterator
    from pathlib import Path

    from farm.model import Reference
    from lab.lab import Lab
    from tests.integration.registry.conftest import Repository

ALWAYS = float("inf")


def login_of(exchange: Exchange) -> str:
    """The login that a request carries."""
    return dict(exchange.request.headers).get(b"authorization", b"nobody").decode()


def refuse_without(word: str, challenge: str) -> Act:
    """Ask for a login unless the request carries this one."""

    def act(exchange: Exchange) -> Awaitable[None]:
        if login_of(exchange) == word:
            return exchange.pass_on()
        return exchange.answer(401, {"WWW-Authenticate": challenge}, b"")

    return act


def grant(proxy: HttpProxy, token: bytes, *, times: float = ALWAYS) -> list[str]:
    """Make the proxy a token service; return a log of each request and its login."""
    asked: list[str] = []

    def act(exchange: Exchange) -> Awaitable[None]:
        asked.append(f"{exchange.path} {login_of(exchange)}")
        return exchange.answer(200, {"Content-Type": "application/json"}, token)

    proxy.breaks("GET", "^/token", act, times=times)
    return asked


@pytest.fixture
def tokened(repository: Repository, proxy: HttpProxy) -> Reference:
    """NAME:TAG-amd64 by way of the proxy, which takes the token "t0ken" alone."""
    repository.push("amd64")
    challenge = f'Bearer realm="{proxy.url}/token",service="lab"'
    proxy.breaks(".*", "^/v2/", refuse_without("Bearer t0ken", challenge), times=ALWAYS)
    return repository.at(proxy.address).for_arch("amd64")


@pytest.fixture
def stranger(tmp_path: Path) -> Iterator[Registry]:
    """A client without logins."""
    with Registry(Credentials(tmp_path / "none"), timeout=10) as registry:
        yield registry


def test_a_missing_login_is_an_error_and_never_counts_as_a_missing_image(
    guarded: Repository, stranger: Registry
) -> None:
    for ask in (stranger.head, stranger.manifest):
        with pytest.raises(RegistryDeniedError, match="refuses access"):
            ask(guarded.reference)
    with pytest.raises(RegistryDeniedError):
        look_up_all(stranger, {guarded.reference: ["amd64"]})


def test_a_wrong_password_is_refused_at_once_and_not_shown(lab: Lab, tmp_path: Path) -> None:
    with http_proxy(lab.guarded_registry) as proxy:
        wrong = logins(tmp_path, **{proxy.address: "farm:wr0ng-word"})
        with Registry(wrong, timeout=10) as registry, pytest.raises(RegistryDeniedError) as caught:
            registry.ping(proxy.address)
        # Once without a login, once with it; a retry would not help.
        assert proxy.seen("GET", "/v2/") == 2
    assert not caught.value.retryable
    assert "docker login" in str(caught.value)
    assert "wr0ng-word" not in f"{caught.value} {wrong!r} {wrong.login_for(proxy.address)!r}"


def test_a_login_is_requested_once_and_then_sent_with_every_request(
    lab: Lab, guarded: Repository, tmp_path: Path
) -> None:
    guarded.push("amd64")
    with http_proxy(lab.guarded_registry) as proxy:
        account = logins(tmp_path, **{proxy.address: ":".join(lab.guarded_login)})
        with Registry(account, timeout=10) as registry:
            for _ in range(5):
                assert registry.head(guarded.at(proxy.address).for_arch("amd64"))
        assert proxy.seen("HEAD", "") == 6


def test_an_expired_token_is_replaced(proxy: HttpProxy, tokened: Reference, stranger: Registry) -> None:
    first = grant(proxy, b'{"access_token": "stale"}', times=1)
    second = grant(proxy, b'{"access_token": "t0ken"}')
    assert stranger.head(tokened) is not None
    assert [line.rpartition(" ")[2] for line in first] == ["nobody"]
    assert {line.rpartition(" ")[2] for line in second} == {"nobody"}


def test_tokens_for_several_repositories_are_requested_at_the_same_time(
    proxy: HttpProxy, repository: Repository, stranger: Registry
) -> None:
    challenge = f'Bearer realm="{proxy.url}/token",service="lab"'
    proxy.breaks(".*", "^/v2/", refuse_without("Bearer t0ken", challenge), times=ALWAYS)
    everybody = asyncio.Barrier(3)

    async def grant_together(exchange: Exchange) -> None:
        async with asyncio.timeout(10):
            await everybody.wait()
        await exchange.answer(200, {}, b'{"token": "t0ken"}')

    asked = proxy.breaks("GET", "^/token", grant_together, times=ALWAYS)
    base = repository.at(proxy.address)
    names = [base._replace(repository=f"{base.repository}-{number}") for number in range(3)]
    assert at_once(stranger.head, names) == [None] * 3
    assert asked.hits == 3


def test_requests_name_the_program_that_sends_them(
    proxy: HttpProxy, repository: Repository, stranger: Registry
) -> None:
    sent: list[bytes] = []

    def note(exchange: Exchange) -> Awaitable[None]:
        sent.append(dict(exchange.request.headers)[b"user-agent"])
        return exchange.pass_on()

    proxy.breaks("HEAD", "", note, times=ALWAYS)
    stranger.head(repository.at(proxy.address))
    assert sent == [f"linuxkit-farm/{__version__}".encode()]


@pytest.mark.parametrize("answer", [b"", b"{}", b"[]", b"<html>", b'{"token": 5}', b'{"token": ""}'])
def test_a_response_without_a_token_is_an_error_of_the_registry(
    proxy: HttpProxy, tokened: Reference, stranger: Registry, answer: bytes
) -> None:
    grant(proxy, answer)
    with pytest.raises(RegistryError):
        stranger.head(tokened)


@pytest.mark.parametrize("realm", ["https://a.org:port/token", "https://[a.org/token"])
def test_a_malformed_realm_is_an_error_of_the_registry_and_not_retried(
    proxy: HttpProxy, repository: Repository, stranger: Registry, realm: str
) -> None:
    refusal = refuse_without("Bearer t0ken", f'Bearer realm="{realm}"')
    broken = proxy.breaks(".*", "^/v2/", refusal, times=ALWAYS)
    with pytest.raises(RegistryError) as caught:
        stranger.head(repository.at(proxy.address))
    assert (caught.value.retryable, broken.hits) == (False, 1)


def test_a_redirect_is_followed_without_the_login(lab: Lab, repository: Repository, tmp_path: Path) -> None:
    """Registries that store their blobs elsewhere redirect to them."""
    seen: list[str] = []
    pushed = repository.push("amd64")

    def note(exchange: Exchange) -> Awaitable[None]:
        seen.append(login_of(exchange))
        return exchange.pass_on()

    with http_proxy(lab.registry) as store, http_proxy(lab.registry) as front:

        def redirect(exchange: Exchange) -> Awaitable[None]:
            return exchange.answer(307, {"Location": f"{store.url}{exchange.path}"}, b"")

        store.breaks(".*", "", note, times=ALWAYS)
        front.breaks("GET", "/manifests/", redirect, times=ALWAYS)
        front.breaks("GET", "^/v2/$", refuse_without("Basic YW5uOnBhc3M=", 'Basic realm="lab"'), times=ALWAYS)
        with Registry(logins(tmp_path, **{front.address: "ann:pass"}), timeout=10) as registry:
            registry.ping(front.address)
            found = registry.existing(repository.at(front.address).for_arch("amd64"))
    assert found.descriptor.digest == pushed.digest
    assert seen == ["nobody"]


@pytest.mark.parametrize("script", ["#!/bin/sh\necho no keyring; exit 1\n", None], ids=["failing", "missing"])
def test_a_failing_helper_is_reported_with_a_hint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str | None
) -> None:
    if script:
        (tmp_path / "docker-credential-lab").write_text(script)
        (tmp_path / "docker-credential-lab").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    with pytest.raises(RegistryDeniedError, match="credential helper for h:1 failed"):
        configured(tmp_path, credsStore="lab").login_for("h:1")


def test_the_login_of_docker_hub_is_found_under_its_old_name(tmp_path: Path) -> None:
    login = logins(tmp_path, **{"https://index.docker.io/v1/": "ann:pa:ss"}).login_for("docker.io")
    assert login is not None
    assert (login.user, login.password.reveal()) == ("ann", "pa:ss")


@pytest.mark.parametrize("text", ["{", "[]", '{"auths": {"h:1": {"auth": "%%"}}}', '{"auths": {"h:1": 5}}'])
def test_an_invalid_docker_configuration_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(SettingsError, match=r"config.json"):
        Credentials.load(tmp_path).login_for("h:1")
