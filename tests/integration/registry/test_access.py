"""Real registries are read and written with every kind of login and certificate that docker supports."""

from __future__ import annotations

import base64
import json
import subprocess
from typing import TYPE_CHECKING

import pytest

from farm.errors import FarmError, RegistryDeniedError, RegistryUnavailableError
from farm.model import Reference
from farm.registry.client import Registry
from farm.registry.credentials import Credentials
from farm.settings import Secret
from lab.process import Service, answers_http, free_port
from tests.support.tokens import IDENTITY, ISSUER, SERVICE, TokenService, token_service

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from lab.lab import Lab

LOGIN = ("farm", "s3cret")
MANIFEST = "application/vnd.oci.image.index.v1+json"
BODY = json.dumps({"schemaVersion": 2, "mediaType": MANIFEST, "manifests": []}).encode()


@pytest.fixture(scope="module")
def identity(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A key, and its certificate for localhost."""
    home = tmp_path_factory.mktemp("identity")
    key, certificate = home / "key.pem", home / "ca.crt"
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1,IP:::ffff:7f00:1"]
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30", *names]
    files = ["-keyout", str(key), "-out", str(certificate)]
    subprocess.run([*command, *files], check=True, capture_output=True, timeout=60)
    return key, certificate


@pytest.fixture(scope="module")
def tokens(identity: tuple[Path, Path]) -> Iterator[TokenService]:
    """A token service."""
    with token_service(*identity, LOGIN) as service:
        yield service


@pytest.fixture(scope="module")
def tokened(tokens: TokenService, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A registry that requires tokens of that service, and TLS with a certificate of an unknown CA."""
    port, home = free_port(), tmp_path_factory.mktemp("tokened")
    auth = {
        "realm": tokens.realm,
        "service": SERVICE,
        "issuer": ISSUER,
        "rootcertbundle": str(tokens.certificate),
    }
    tls = {"certificate": str(tokens.certificate), "key": str(tokens.key)}
    config = {
        "version": "0.1",
        "log": {"accesslog": {"disabled": True}, "level": "warn"},
        "storage": {"filesystem": {"rootdirectory": f"{home}/data"}},
        "http": {"addr": f"127.0.0.1:{port}", "tls": tls},
        "auth": {"token": auth},
    }
    (home / "config.yml").write_text(json.dumps(config))
    up = answers_http(f"https://127.0.0.1:{port}/v2/", statuses=(401,))
    service = Service("tokened", ["docker-registry", "serve", str(home / "config.yml")], home, up)
    service.start()
    # The same address, but not as "localhost", which is used without TLS.
    yield f"[::ffff:7f00:1]:{port}"
    service.stop()


def docker_config(directory: Path, config: dict[str, object]) -> Path:
    """A directory with docker's config.json."""
    directory.mkdir(exist_ok=True)
    (directory / "config.json").write_text(json.dumps(config))
    return directory


def in_auths(registry: str) -> dict[str, object]:
    """The login as `docker login` writes it."""
    return {"auths": {registry: {"auth": base64.b64encode(":".join(LOGIN).encode()).decode()}}}


def assert_written_and_read(registry: Registry, host: str) -> None:
    """Push an index, and read it back."""
    reference = Reference.parse(f"{host}/access/foo:1")
    registry.put_manifest(reference, MANIFEST, BODY)
    manifest = registry.manifest(reference)
    assert manifest
    assert manifest.body == BODY


@pytest.fixture
def helper(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lab: Lab) -> Path:
    """A credential helper on PATH with the login of the guarded registry; returns the log of its calls."""
    asked, program = tmp_path / "asked", tmp_path / "bin" / "docker-credential-lab"
    program.parent.mkdir()
    answer = json.dumps({"ServerURL": "x", "Username": LOGIN[0], "Secret": LOGIN[1]})
    program.write_text(
        f'#!/bin/sh\nread -r server\necho "$1 $server" >> {asked}\n'
        f"case $server in {lab.guarded_registry}) echo '{answer}' ;;\n"
        "*) echo 'credentials not found in native keychain'; exit 1 ;; esac\n"
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
    return asked


@pytest.mark.parametrize("kind", ["auths", "credHelpers", "credsStore", "given"])
def test_basic_logins_from_every_source_are_used(lab: Lab, tmp_path: Path, helper: Path, kind: str) -> None:
    host = lab.guarded_registry
    configs: dict[str, dict[str, object]] = {
        "auths": in_auths(host),
        "credHelpers": {"credHelpers": {host: "lab"}},
        "credsStore": {"credsStore": "lab"},
        "given": {},
    }
    given = Secret(f"{host}={':'.join(LOGIN)}") if kind == "given" else None
    credentials = Credentials.load(docker_config(tmp_path / "docker", configs[kind]), given)
    with Registry(credentials, timeout=30) as registry:
        assert_written_and_read(registry, host)
    questions = helper.read_text().splitlines() if helper.exists() else []
    assert questions == ([f"get {host}"] if kind.startswith("cred") else [])


def test_a_registry_that_is_not_in_the_credential_store_is_read_without_a_login(
    lab: Lab, tmp_path: Path, helper: Path
) -> None:
    credentials = Credentials.load(docker_config(tmp_path / "docker", {"credsStore": "lab"}))
    with Registry(credentials, timeout=30) as registry:
        assert_written_and_read(registry, lab.registry)
        registry.ping(lab.registry)
    assert helper.exists() is False or lab.registry in helper.read_text()


def test_a_missing_helper_is_an_error(lab: Lab, tmp_path: Path) -> None:
    config = docker_config(tmp_path / "docker", {"credHelpers": {lab.guarded_registry: "nosuch"}})
    with Registry(Credentials.load(config), timeout=30) as registry, pytest.raises(FarmError):
        registry.ping(lab.guarded_registry)


def test_a_token_is_requested_only_for_the_needed_scope(
    tokens: TokenService, tokened: str, tmp_path: Path
) -> None:
    credentials = Credentials.load(docker_config(tmp_path / "docker", in_auths(tokened)))
    with Registry(credentials, authorities=[tokens.certificate], timeout=30) as registry:
        assert_written_and_read(registry, tokened)
        tokens.asked.clear()
        reference = Reference.parse(f"{tokened}/access/foo:1")
        assert registry.head(reference)
        assert registry.head(reference)
    assert tokens.asked == []
    with Registry(credentials, authorities=[tokens.certificate], timeout=30) as registry:
        assert registry.head(reference)
    assert tokens.asked == [["repository:access/foo:pull"]]


def test_a_given_token_is_sent_to_the_registry_itself(
    tokens: TokenService, tokened: str, tmp_path: Path
) -> None:
    tokens.asked.clear()
    token = tokens.token(["repository:access/foo:pull,push"])
    credentials = Credentials.load(tmp_path, Secret(f"https://{tokened}/={token}"))
    with Registry(credentials, authorities=[tokens.certificate], timeout=30) as registry:
        assert_written_and_read(registry, tokened)
    assert tokens.asked == []


def test_an_identity_token_of_a_helper_is_exchanged_for_tokens(
    tokens: TokenService, tokened: str, tmp_path: Path, helper: Path
) -> None:
    answer = json.dumps({"ServerURL": "x", "Username": "<token>", "Secret": IDENTITY})
    (helper.parent / "bin" / "docker-credential-lab").write_text(
        f"#!/bin/sh\ncat > /dev/null\necho '{answer}'\n"
    )
    credentials = Credentials.load(docker_config(tmp_path / "docker", {"credsStore": "lab"}))
    with Registry(credentials, authorities=[tokens.certificate], timeout=30) as registry:
        assert_written_and_read(registry, tokened)


def test_a_wrong_login_at_the_token_service_is_reported_as_refused(
    tokens: TokenService, tokened: str, tmp_path: Path
) -> None:
    credentials = Credentials.load(tmp_path, Secret(f"{tokened}=farm:wrong"))
    with (
        Registry(credentials, authorities=[tokens.certificate], timeout=30) as registry,
        pytest.raises(RegistryDeniedError),
    ):
        registry.head(Reference.parse(f"{tokened}/access/foo:1"))


@pytest.mark.parametrize("known", ["as docker keeps it", "for all registries"])
def test_a_private_ca_is_trusted_if_it_is_configured(
    tokens: TokenService, tokened: str, tmp_path: Path, known: str
) -> None:
    certs = tmp_path / "certs.d"
    (certs / tokened).mkdir(parents=True)
    (certs / tokened / "ca.crt").write_text(tokens.certificate.read_text())
    credentials = Credentials.load(docker_config(tmp_path / "docker", in_auths(tokened)))
    docker = known == "as docker keeps it"
    with Registry(
        credentials,
        certs=certs if docker else None,
        authorities=() if docker else [tokens.certificate],
        timeout=30,
    ) as registry:
        registry.ping(tokened)
    with Registry(credentials, timeout=30) as stranger, pytest.raises(RegistryUnavailableError):
        stranger.ping(tokened)


def test_a_mirror_gets_its_own_login_and_never_the_registrys(lab: Lab, tmp_path: Path) -> None:
    logins = Secret(f"nowhere.invalid=other:secret,{lab.guarded_registry}={':'.join(LOGIN)}")
    credentials = Credentials.load(tmp_path, logins)
    with Registry(credentials, timeout=30) as registry:
        assert_written_and_read(registry, lab.guarded_registry)
    mirror = f"http://{lab.guarded_registry}"
    with Registry(credentials, mirrors=[("nowhere.invalid", mirror)], timeout=30) as registry:
        found = registry.manifest(Reference.parse("nowhere.invalid/access/foo:1"))
    assert found
    assert found.body == BODY
