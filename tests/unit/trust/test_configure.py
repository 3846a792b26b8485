"""The server, CA and key that the settings name, and files of an administrator that cannot be used."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from farm.errors import InputError, TrustDeniedError, TrustError
from farm.settings import Secret, Settings
from farm.trust.notary.configure import admin_trust_dir, notary_server, signing_key
from farm.trust.notary.delegation import generate_delegation_key
from farm.trust.notary.keys import SigningKey, certified_key_id
from farm.trust.notary.limits import TrustDeadline
from farm.trust.notary.signer import NotarySigner

CONFIGURED = "https://notary.example:4443"


@pytest.mark.parametrize(
    ("settings", "gun", "url"),
    [
        (Settings(notary_server="registry"), "registry.example:5000/foo", "https://registry.example:5000"),
        (Settings(notary_server=f"{CONFIGURED}/"), "docker.io/linuxkit/foo", CONFIGURED),
        (Settings(notary_server=f"{CONFIGURED}/"), "registry.example/foo", CONFIGURED),
    ],
)
def test_the_notary_server_is_the_configured_one_or_the_registry_where_that_is_asked_for(
    settings: Settings, gun: str, url: str
) -> None:
    assert notary_server(settings, gun).url == url


@pytest.mark.parametrize("configured", [None, "registry"])
def test_no_server_that_has_been_shut_down_is_asked(configured: str | None) -> None:
    with pytest.raises(TrustDeniedError, match="notary server") as caught:
        notary_server(Settings(notary_server=configured), "docker.io/linuxkit/foo")
    assert "set notary-server" in str(caught.value)


def test_the_settings_alone_tell_whether_server_or_key_is_missing(tmp_path: Path) -> None:
    (tmp_path / "key.pem").touch()
    server, key = Settings(notary_server=CONFIGURED), Settings(signing_key=tmp_path / "key.pem")
    both = replace(server, signing_key=key.signing_key)
    missing = [
        (Settings(), "neither a notary server nor a signing key"),
        (server, "no signing key is set"),
        (key, "no notary server is set"),
        (replace(both, signing_key=tmp_path / "none.pem"), "none.pem: the signing key cannot be read"),
    ]
    for settings, what in missing:
        with pytest.raises(TrustDeniedError, match=what) as caught:
            NotarySigner(settings).check_settings(["a.example/b"], to_sign=True)
        assert "--no-sign" in str(caught.value)
    NotarySigner(both).check_settings(["a.example/b"], to_sign=True)
    NotarySigner(server).check_settings(["a.example/b"], to_sign=False)


def test_the_ca_that_docker_keeps_for_the_server_is_found(tmp_path: Path) -> None:
    ca = tmp_path / "tls" / "notary.example:4443" / "ca.crt"
    ca.parent.mkdir(parents=True)
    ca.touch()
    settings = Settings(notary_server=CONFIGURED, docker_config=tmp_path)
    assert notary_server(settings, "a/b").ca == ca
    assert notary_server(replace(settings, notary_ca=Path("other")), "a/b").ca == Path("other")


def test_private_directories_stay_under_the_state_directory(tmp_path: Path) -> None:
    settings = Settings(notary_server=CONFIGURED, state_dir=tmp_path, docker_config=tmp_path / "docker")
    assert notary_server(settings, "a/b").work == tmp_path / "trust"
    assert admin_trust_dir(settings) == tmp_path / "docker" / "trust"


def test_an_unset_signing_key_is_an_error_that_names_the_setting() -> None:
    with pytest.raises(TrustDeniedError, match="farm trust init makes one"):
        signing_key(Settings())


def test_the_passphrase_comes_from_the_settings_or_the_command(tmp_path: Path) -> None:
    path = tmp_path / "delegation.pem"
    path.touch()
    given = Settings(signing_key=path, signing_passphrase=Secret("given"), signing_passphrase_command="false")
    assert signing_key(given) == SigningKey(path, Secret("given"))
    asked = Settings(signing_key=path, signing_passphrase_command="echo asked", signing_role="targets/bob")
    assert signing_key(asked) == SigningKey(path, Secret("asked"), "targets/bob")
    assert signing_key(Settings(signing_key=path)).passphrase is None


@pytest.mark.parametrize("place", ["/proc/farm/keys", "/dev/null/keys"])
def test_a_directory_that_cannot_hold_a_key_is_named(place: str) -> None:
    with pytest.raises(InputError, match=f"^{place}: the key cannot be written there"):
        generate_delegation_key(Path(place), Secret("long enough"))


def test_a_missing_certificate_and_an_invalid_one_have_different_errors(tmp_path: Path) -> None:
    deadline = TrustDeadline.after(60, "reading it")
    with pytest.raises(InputError, match="cannot be read: No such file"):
        certified_key_id(tmp_path / "none.crt", deadline)
    (tmp_path / "some.crt").write_text("no certificate")
    with pytest.raises(TrustError, match=r"contains no X\.509 certificate"):
        certified_key_id(tmp_path / "some.crt", deadline)
