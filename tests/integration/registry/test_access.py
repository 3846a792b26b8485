"""Real registries are read and written with every kind of login and certificate that docker supports."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING

import pytest

from farm.errors import RegistryDeniedError, RegistryUnavailableError, RegistryUntrustedError
from farm.model import Reference
from farm.registry.client import Registry
from farm.registry.credentials import Credentials
from farm.registry.oci import OCI_INDEX
from farm.registry.transport import ATTEMPTS
from farm.settings import Secret
from lab.process import Service, answers_http, free_port
from tests.integration.registry.conftest import configured, logins
from tests.support.proxy.http import http_proxy
from tests.support.proxy.http_faults import reset
from tests.support.tokens import IDENTITY, ISSUER, SERVICE, TokenService, token_service

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from lab.lab import Lab
    from tests.integration.registry.conftest import Repository

LOGIN = ("farm", "s3cret")
ACCOUNT = ":".join(LOGIN)
BODY = json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": []}).encode()


@pytest.fixture(scope="module")
def tokens(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TokenService]:
    """A token service with a key, and a certificate of an unknown CA."""
    home = tmp_path_factory.mktemp("identity")
    key, certificate = home / "key.pem", home / "ca.crt"
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1,IP:::ffff:7f00:1"]
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30", *names]
    files = ["-keyout", str(key), "-out", str(certificate)]
    subprocess.run([*command, *files], check=True, capture_output=True, timeout=60)
    with token_service(key, certificate, LOGIN) as service:
        yield service


@pytest.fixture(scope="module")
def tokened(tokens: TokenService, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A registry that requires tokens of that service, and TLS with the same certificate."""
    port, home = free_port(), tmp_path_factory.mktemp("tokened")
    certificate, key = str(tokens.certificate), str(tokens.key)
    auth = {"realm": tokens.realm, "service": SERVICE, "issuer": ISSUER, "rootcertbundle": certificate}
    config = {
        "version": "0.1",
        "log": {"accesslog": {"disabled": True}, "level": "warn"},
        "storage": {"filesystem": {"rootdirectory": f"{home}/data"}},
        "http": {"addr": f"127.0.0.1:{port}", "tls": {"certificate": certificate, "key": key}},
        "auth": {"token": auth},
    }
    (home / "config.yml").write_text(json.dumps(config))
    up = answers_http(f"https://127.0.0.1:{port}/v2/", statuses=(401,))
    service = Service("tokened", ["docker-registry", "serve", str(home / "config.yml")], home, up)
    service.start()
    # The same address, but not as "localhost", which is used without TLS.
    yield f"[::ffff:7f00:1]:{port}"
    service.stop()


def trusting(tokens: TokenService, credentials: Credentials) -> Registry:
    """A client that trusts the certificate."""
    return Registry(credentials, authorities=[tokens.certificate], timeout=30)


def assert_written_and_read(registry: Registry, host: str) -> None:
    """Push an index, and read it back."""
    reference = Reference.parse(f"{host}/access/foo:1")
    registry.ping(host)
    registry.put_manifest(reference, OCI_INDEX, BODY)
    assert registry.existing(reference).body == BODY


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
    sources: dict[str, Callable[[], Credentials]] = {
        "auths": lambda: logins(tmp_path, **{host: ACCOUNT}),
        "credHelpers": lambda: configured(tmp_path, credHelpers={host: "lab"}),
        "credsStore": lambda: configured(tmp_path, credsStore="lab"),
        "given": lambda: Credentials.load(tmp_path, Secret(f"{host}={ACCOUNT}")),
    }
    with Registry(sources[kind](), timeout=30) as registry:
        assert_written_and_read(registry, host)
    # A helper is asked once.
    questions = helper.read_text().splitlines() if helper.exists() else []
    assert questions == ([f"get {host}"] if kind.startswith("cred") else [])


def test_a_registry_that_is_not_in_the_credential_store_is_read_without_a_login(
    lab: Lab, tmp_path: Path, helper: Path
) -> None:
    credentials = configured(tmp_path, credsStore="lab")
    assert credentials.login_for(lab.registry) is None
    with Registry(credentials, timeout=30) as registry:
        assert_written_and_read(registry, lab.registry)
    assert helper.read_text() == f"get {lab.registry}\n"


def test_a_token_is_requested_only_for_the_needed_scope(
    tokens: TokenService, tokened: str, tmp_path: Path
) -> None:
    credentials = logins(tmp_path, **{tokened: ACCOUNT})
    with trusting(tokens, credentials) as registry:
        assert_written_and_read(registry, tokened)
        tokens.asked.clear()
        reference = Reference.parse(f"{tokened}/access/foo:1")
        assert registry.head(reference)
        assert registry.head(reference)
    assert tokens.asked == []
    with trusting(tokens, credentials) as registry:
        assert registry.head(reference)
    assert tokens.asked == [["repository:access/foo:pull"]]


def test_a_given_token_is_sent_to_the_registry_itself(
    tokens: TokenService, tokened: str, tmp_path: Path
) -> None:
    tokens.asked.clear()
    token = tokens.token(["repository:access/foo:pull,push"])
    with trusting(tokens, Credentials.load(tmp_path, Secret(f"https://{tokened}/={token}"))) as registry:
        assert_written_and_read(registry, tokened)
    assert tokens.asked == []


def test_an_identity_token_of_a_helper_is_exchanged_for_tokens(
    tokens: TokenService, tokened: str, tmp_path: Path, helper: Path
) -> None:
    answer = json.dumps({"ServerURL": "x", "Username": "<token>", "Secret": IDENTITY})
    program = helper.parent / "bin" / "docker-credential-lab"
    program.write_text(f"#!/bin/sh\ncat > /dev/null\necho '{answer}'\n")
    with trusting(tokens, configured(tmp_path, credsStore="lab")) as registry:
        assert_written_and_read(registry, tokened)


def test_a_wrong_login_at_the_token_service_is_reported_as_refused(
    tokens: TokenService, tokened: str, tmp_path: Path
) -> None:
    credentials = Credentials.load(tmp_path, Secret(f"{tokened}=farm:wrong"))
    with trusting(tokens, credentials) as registry, pytest.raises(RegistryDeniedError):
        registry.head(Reference.parse(f"{tokened}/access/foo:1"))


@pytest.mark.parametrize("known", ["as docker keeps it", "for all registries"])
def test_a_private_ca_is_trusted_if_it_is_configured(
    tokens: TokenService, tokened: str, tmp_path: Path, known: str
) -> None:
    certs = tmp_path / "certs.d"
    (certs / tokened).mkdir(parents=True)
    (certs / tokened / "ca.crt").write_text(tokens.certificate.read_text())
    credentials = logins(tmp_path, **{tokened: ACCOUNT})
    docker = known == "as docker keeps it"
    authorities = () if docker else [tokens.certificate]
    with Registry(
        credentials, certs=certs if docker else None, authorities=authorities, timeout=30
    ) as registry:
        registry.ping(tokened)
    with Registry(credentials, timeout=30) as stranger, pytest.raises(RegistryUntrustedError) as caught:
        stranger.ping(tokened)
    assert f"the certificate of the registry {tokened} is not trusted: self-signed" in str(caught.value)
    assert (caught.value.exit_code, caught.value.retryable) == (4, False)


def test_a_mirror_gets_its_own_login_and_never_the_registrys(lab: Lab, tmp_path: Path) -> None:
    given = Secret(f"nowhere.invalid=other:secret,{lab.guarded_registry}={ACCOUNT}")
    credentials = Credentials.load(tmp_path, given)
    with Registry(credentials, timeout=30) as registry:
        assert_written_and_read(registry, lab.guarded_registry)
    mirror = f"http://{lab.guarded_registry}"
    with Registry(credentials, mirrors=[("nowhere.invalid", mirror)], timeout=30) as registry:
        assert registry.existing(Reference.parse("nowhere.invalid/access/foo:1")).body == BODY


def test_a_mirror_that_did_not_answer_is_asked_again_after_a_while(
    repository: Repository, tmp_path: Path
) -> None:
    repository.push("amd64")
    wanted = repository.reference.for_arch("amd64")._replace(registry="nowhere.invalid")
    with http_proxy(repository.reference.registry) as proxy:
        down = proxy.breaks("GET", "/manifests/", reset(), times=ATTEMPTS)
        mirrors = [("nowhere.invalid", proxy.url)]
        with Registry(
            Credentials(tmp_path / "none"), mirrors=mirrors, timeout=5, mirror_pause=0.0
        ) as registry:
            with pytest.raises(RegistryUnavailableError, match=r"nowhere\.invalid"):
                registry.existing(wanted)
            assert down.hits == ATTEMPTS
            assert registry.existing(wanted)
