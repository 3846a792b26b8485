"""Which login is sent where, how a challenge is answered, and that no secret is shown."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from farm.errors import RegistryDeniedError, RegistryError, SettingsError
from farm.registry.client import Registry
from farm.registry.credentials import Credentials
from farm.registry.published_images import look_up_all
from tests.integration.registry.conftest import logins
from tests.support.proxy.http import Act, Exchange, HttpProxy, http_proxy

if TYPE_CHECKING:
    from collections.abc import Awaitable
    from pathlib import Path

    from lab.lab import Lab
    from tests.integration.registry.conftest import Repository

ALWAYS = float("inf")


def refuse_without(word: str, challenge: str) -> Act:
    """Ask for a login unless the request carries this one."""

    def act(exchange: Exchange) -> Awaitable[None]:
        sent = dict(exchange.request.headers).get(b"authorization", b"").decode()
        if sent == word:
            return exchange.pass_on()
        return exchange.answer(401, {"WWW-Authenticate": challenge}, b"")

    return act


def grant(token: bytes, asked: list[str], status: int = 200) -> Act:
    """Act as a token service, and log each request and its login."""

    def act(exchange: Exchange) -> Awaitable[None]:
        by = dict(exchange.request.headers).get(b"authorization", b"nobody").decode()
        asked.append(f"{exchange.path} {by}")
        return exchange.answer(status, {"Content-Type": "application/json"}, token)

    return act


def challenge_by_token(proxy: HttpProxy) -> None:
    """Make the proxy a registry that takes the token "t0ken" alone."""
    challenge = f'Bearer realm="{proxy.url}/token",service="lab"'
    proxy.breaks(".*", "^/v2/", refuse_without("Bearer t0ken", challenge), times=ALWAYS)


def test_a_registry_that_asks_for_a_login_gets_it(guarded: Repository) -> None:
    pushed = guarded.push("amd64")
    guarded.registry.ping(guarded.reference.registry)
    found = look_up_all(guarded.registry, {guarded.reference: ["amd64", "arm64"]})[guarded.reference]
    assert found.images == {"amd64": guarded.image("amd64", pushed)}


def test_a_missing_login_is_an_error_and_never_counts_as_a_missing_image(
    guarded: Repository, tmp_path: Path
) -> None:
    with Registry(Credentials(tmp_path / "none"), timeout=10) as stranger:
        for ask in (stranger.head, stranger.manifest):
            with pytest.raises(RegistryDeniedError, match="refuses access"):
                ask(guarded.reference)
        with pytest.raises(RegistryDeniedError):
            look_up_all(stranger, {guarded.reference: ["amd64"]})


def test_a_wrong_password_is_refused_at_once_and_not_shown(
    lab: Lab, guarded: Repository, tmp_path: Path
) -> None:
    with http_proxy(lab.guarded_registry) as proxy:
        wrong = logins(tmp_path, **{proxy.address: "farm:wr0ng-word"})
        with Registry(wrong, timeout=10) as registry, pytest.raises(RegistryDeniedError) as caught:
            registry.ping(proxy.address)
        # Once without a login, once with it; a retry would not help.
        assert proxy.seen("GET", "/v2/") == 2
    assert not caught.value.retryable
    assert "docker login" in str(caught.value)
    assert "wr0ng-word" not in f"{caught.value} {wrong!r} {wrong.login_for(proxy.address)!r}"
    assert guarded.reference.registry == lab.guarded_registry


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


def test_a_token_is_requested_from_the_service_that_the_registry_names(
    repository: Repository, proxy: HttpProxy, tmp_path: Path
) -> None:
    asked: list[str] = []
    challenge_by_token(proxy)
    proxy.breaks("GET", "^/token", grant(b'{"token": "t0ken"}', asked), times=ALWAYS)
    pushed = repository.push("amd64")
    account = logins(tmp_path, **{proxy.address: "ann:pass"})
    with Registry(account, timeout=10) as registry:
        target = repository.at(proxy.address).for_arch("amd64")
        for _ in range(3):
            head = registry.head(target)
            assert head is not None
            assert head.digest == pushed.digest
    (once,) = asked
    assert once.endswith("Basic YW5uOnBhc3M=")
    assert "service=lab" in once
    assert f"repository%3A{repository.reference.repository.replace('/', '%2F')}%3Apull" in once


def test_an_expired_token_is_replaced(repository: Repository, proxy: HttpProxy, tmp_path: Path) -> None:
    asked: list[str] = []
    challenge_by_token(proxy)
    proxy.breaks("GET", "^/token", grant(b'{"access_token": "stale"}', asked), times=1)
    proxy.breaks("GET", "^/token", grant(b'{"access_token": "t0ken"}', asked), times=ALWAYS)
    repository.push("amd64")
    target = repository.at(proxy.address).for_arch("amd64")
    with Registry(Credentials(tmp_path / "none"), timeout=10) as registry:
        with pytest.raises(RegistryDeniedError):
            registry.head(target)
        assert registry.head(target) is not None
    assert [line.rpartition(" ")[2] for line in asked] == ["nobody", "nobody"]


@pytest.mark.parametrize("answer", [b"", b"{}", b"[]", b"<html>", b'{"token": 5}', b'{"token": ""}'])
def test_a_response_without_a_token_is_an_error_of_the_registry(
    repository: Repository, proxy: HttpProxy, tmp_path: Path, answer: bytes
) -> None:
    challenge_by_token(proxy)
    proxy.breaks("GET", "^/token", grant(answer, []), times=ALWAYS)
    with Registry(Credentials(tmp_path / "none"), timeout=10) as registry, pytest.raises(RegistryError):
        registry.head(repository.at(proxy.address))


def test_a_token_service_that_refuses_the_login_is_reported(
    repository: Repository, proxy: HttpProxy, tmp_path: Path
) -> None:
    challenge_by_token(proxy)
    proxy.breaks("GET", "^/token", grant(b"{}", [], status=401), times=ALWAYS)
    with Registry(Credentials(tmp_path / "none"), timeout=10) as registry, pytest.raises(RegistryDeniedError):
        registry.head(repository.at(proxy.address))


def test_a_redirect_is_followed_without_the_login(lab: Lab, repository: Repository, tmp_path: Path) -> None:
    """Registries that store their blobs elsewhere redirect to them."""
    seen: list[bytes] = []
    pushed = repository.push("amd64")

    def note(exchange: Exchange) -> Awaitable[None]:
        seen.append(dict(exchange.request.headers).get(b"authorization", b"nobody"))
        return exchange.pass_on()

    with http_proxy(lab.registry) as store, http_proxy(lab.registry) as front:
        store.breaks(".*", "", note, times=ALWAYS)
        front.breaks(
            "GET",
            "/manifests/",
            lambda exchange: exchange.answer(307, {"Location": f"{store.url}{exchange.path}"}, b""),
            times=ALWAYS,
        )
        front.breaks("GET", "^/v2/$", refuse_without("Basic YW5uOnBhc3M=", 'Basic realm="lab"'), times=ALWAYS)
        with Registry(logins(tmp_path, **{front.address: "ann:pass"}), timeout=10) as registry:
            registry.ping(front.address)
            found = registry.manifest(repository.at(front.address).for_arch("amd64"))
    assert found is not None
    assert found.descriptor.digest == pushed.digest
    assert seen == [b"nobody"]


def test_dockers_helpers_are_asked_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    helper = tmp_path / "docker-credential-lab"
    answer = json.dumps({"ServerURL": "h:1", "Username": "ann", "Secret": "pass"})
    helper.write_text(f"#!/bin/sh\necho asked >> {tmp_path}/asked\necho '{answer}'\n")
    helper.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    (tmp_path / "config.json").write_text(json.dumps({"credHelpers": {"h:1": "lab"}}))
    credentials = Credentials.load(tmp_path)
    for _ in range(3):
        login = credentials.login_for("h:1")
        assert login is not None
        assert (login.user, login.password.reveal()) == ("ann", "pass")
    assert (tmp_path / "asked").read_text() == "asked\n"
    assert credentials.login_for("other:1") is None


def test_a_failing_helper_is_reported_with_a_hint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "docker-credential-lab").write_text("#!/bin/sh\necho no keyring; exit 1\n")
    (tmp_path / "docker-credential-lab").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    (tmp_path / "config.json").write_text(json.dumps({"credsStore": "lab"}))
    with pytest.raises(RegistryDeniedError, match="credential helper for h:1 failed"):
        Credentials.load(tmp_path).login_for("h:1")


def test_the_login_of_docker_hub_is_found_under_its_old_name(tmp_path: Path) -> None:
    login = logins(tmp_path, **{"https://index.docker.io/v1/": "ann:pa:ss"}).login_for("docker.io")
    assert login is not None
    assert (login.user, login.password.reveal()) == ("ann", "pa:ss")


@pytest.mark.parametrize("text", ["{", "[]", '{"auths": {"h:1": {"auth": "%%"}}}', '{"auths": {"h:1": 5}}'])
def test_an_invalid_docker_configuration_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(SettingsError, match=r"config.json"):
        Credentials.load(tmp_path).login_for("h:1")


def test_without_a_configuration_there_is_no_login(tmp_path: Path) -> None:
    assert Credentials.load(tmp_path).login_for("h:1") is None
