"""What a registry answers, or somebody in its place, costs no login, no memory and no time without end."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import ssl
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from farm.errors import RegistryDamagedError, RegistryError, RegistryUnavailableError, RegistryUntrustedError
from farm.model import Descriptor, Reference, digest_of
from farm.registry import pace
from farm.registry.blobs import pull_blob, push_blob, stream_blob
from farm.registry.client import Registry
from farm.registry.credentials import Credentials
from farm.registry.oci import OCI_INDEX, OCI_LAYER
from tests.support.hostile_registry import MIB, bounded, client, reference_at
from tests.support.hostile_server import Asked, HostileServer, hostile_server, reply

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    Act = Callable[[HostileServer, Asked], Iterable[bytes]]

LIMIT = 0.4
"""Seconds that an answer may take in these tests."""
IDENTITY = "1dentity-word"


def with_identity(tmp_path: Path, host: str, **options: Any) -> Registry:
    entry = {"auth": base64.b64encode(b"<token>:").decode(), "identitytoken": IDENTITY}
    (tmp_path / "config.json").write_text(json.dumps({"auths": {host: entry}}))
    return Registry(Credentials.load(tmp_path), timeout=5.0, **options)


def secrets_in(server: HostileServer) -> list[str]:
    """What of the login a server has seen."""
    found = [(one.headers.get("authorization", ""), one.body.decode()) for one in server.asked]
    return [" ".join(one) for one in found if any(one) and one != ("Bearer t0ken", "")]


def challenge(realm: str) -> list[bytes]:
    return reply(status=401, WWW_Authenticate=f'Bearer realm="{realm}",service="x"')


def token_of(_: HostileServer, __: Asked) -> list[bytes]:
    return reply(b'{"token": "t0ken"}')


def asks_for_login(realm: str) -> Act:
    """A registry that demands a token of this service, {} being its own address."""

    def act(server: HostileServer, asked: Asked) -> list[bytes]:
        if asked.path.startswith("/token"):
            return token_of(server, asked)
        if asked.headers.get("authorization") == "Bearer t0ken":
            return reply(status=404)
        return challenge(realm.format(server.address))

    return act


# Credentials


@pytest.mark.parametrize("kind", ["password", "identity token"])
def test_a_login_is_not_sent_to_a_token_service_on_another_host(tmp_path: Path, kind: str) -> None:
    login = client if kind == "password" else with_identity
    with (
        hostile_server(token_of, "127.0.0.2") as thief,
        hostile_server(asks_for_login(f"http://{thief.address}/token")) as registry,
        login(tmp_path, registry.address) as farm,
        pytest.raises(RegistryError, match=r"token service|another site"),
    ):
        farm.head(reference_at(registry.address))
    assert thief.asked == []


def test_a_login_is_sent_to_the_token_service_of_the_registry_itself(tmp_path: Path) -> None:
    with (
        hostile_server(asks_for_login("http://{}/token")) as registry,
        client(tmp_path, registry.address) as farm,
    ):
        assert farm.head(reference_at(registry.address)) is None
    assert len(secrets_in(registry)) == 1


@dataclass(frozen=True)
class Certificates:
    """Certificates of two addresses, neither of a known CA."""

    first: Path
    second: Path

    def context(self, path: Path) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(path, path.with_suffix(".key"))
        return context


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    home = tmp_path_factory.mktemp("certificates")
    for name, address in (("first", "::ffff:7f00:1"), ("second", "::ffff:7f00:2")):
        names = ["-subj", f"/CN={name}", "-addext", f"subjectAltName=IP:{address}"]
        made = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
        files = ["-keyout", str(home / f"{name}.key"), "-out", str(home / f"{name}.crt")]
        subprocess.run([*made, *names, *files], check=True, capture_output=True, timeout=60)
    return Certificates(home / "first.crt", home / "second.crt")


def behind_tls(server: HostileServer, number: int = 1) -> str:
    """HOST:PORT of a server on 127.0.0.NUMBER, by a name that is not used without TLS."""
    return f"[::ffff:7f00:{number}]:{server.address.rpartition(':')[2]}"


def test_a_login_goes_to_another_site_only_where_the_settings_name_it(
    tmp_path: Path, certificates: Certificates
) -> None:
    first, second = (certificates.context(one) for one in (certificates.first, certificates.second))
    with hostile_server(token_of, "127.0.0.2", second) as service:
        realm = f"https://{behind_tls(service, 2)}/token"
        with hostile_server(asks_for_login(realm), tls=first) as registry:
            host = behind_tls(registry)
            trusted = [certificates.first, certificates.second]
            with (
                client(tmp_path, host, authorities=trusted) as farm,
                pytest.raises(RegistryError, match="set registry-token-realms to"),
            ):
                farm.head(reference_at(host))
            assert service.asked == []
            named = [(host, behind_tls(service, 2))]
            with client(tmp_path, host, authorities=trusted, realms=named) as farm:
                assert farm.head(reference_at(host)) is None
            assert len(secrets_in(service)) == 1
            # Nobody has a login for it: there is nothing to steal.
            with client(tmp_path, authorities=trusted) as farm:
                assert farm.head(reference_at(host)) is None


def test_a_registry_behind_tls_cannot_send_a_login_to_its_host_without_tls(
    tmp_path: Path, certificates: Certificates
) -> None:
    with hostile_server(token_of) as plain:
        realm = f"http://{behind_tls(plain)}/token"
        with hostile_server(asks_for_login(realm), tls=certificates.context(certificates.first)) as registry:
            host = behind_tls(registry)
            for logins in ([host], []):
                with (
                    client(tmp_path, *logins, authorities=[certificates.first]) as farm,
                    pytest.raises(RegistryError, match="a token service without TLS"),
                ):
                    farm.head(reference_at(host))
    assert plain.asked == []


@pytest.mark.parametrize("status", [301, 307, 308])
@pytest.mark.parametrize("kind", ["password", "identity token"])
def test_a_token_service_cannot_redirect_a_login_to_another_host(
    tmp_path: Path, kind: str, status: int
) -> None:
    login = client if kind == "password" else with_identity

    def act(server: HostileServer, asked: Asked) -> list[bytes]:
        if asked.path.startswith("/token"):
            return reply(status=status, Location=f"http://{thief.address}/token")
        return challenge(f"http://{server.address}/token")

    with (
        hostile_server(token_of, "127.0.0.2") as thief,
        hostile_server(act) as registry,
        login(tmp_path, registry.address) as farm,
        pytest.raises(RegistryError, match="must not get the login"),
    ):
        farm.head(reference_at(registry.address))
    assert thief.asked == []


@pytest.mark.parametrize("asks", ["Basic realm=x", "Bearer"])
def test_where_a_registry_redirects_to_nobody_gets_the_login(tmp_path: Path, asks: str) -> None:
    def steal(server: HostileServer, _: Asked) -> list[bytes]:
        named = f'{asks} realm="http://{server.address}/token"'
        return reply(status=401, WWW_Authenticate=named)

    with (
        hostile_server(steal, "127.0.0.2") as thief,
        hostile_server(lambda *_: reply(status=307, Location=f"http://{thief.address}/x")) as registry,
        client(tmp_path, registry.address) as farm,
        pytest.raises(RegistryError),
    ):
        farm.manifest(reference_at(registry.address))
    assert thief.asked
    assert secrets_in(thief) == []


def test_a_url_that_two_parsers_read_differently_does_not_get_the_login(tmp_path: Path) -> None:
    with hostile_server(lambda *_: reply(b"{}"), "127.0.0.2") as thief:

        def act(server: HostileServer, asked: Asked) -> list[bytes]:
            if "authorization" not in asked.headers:
                return reply(status=401, WWW_Authenticate="Basic realm=x")
            return reply(status=307, Location=f"http://{thief.address}\\@{server.address}/x")

        with (
            hostile_server(act) as registry,
            client(tmp_path, registry.address) as farm,
            pytest.raises(RegistryError),
        ):
            farm.manifest(reference_at(registry.address))
    assert secrets_in(thief) == []


def test_a_redirect_does_not_end_the_verification_of_certificates(
    tmp_path: Path, certificates: Certificates
) -> None:
    with hostile_server(token_of, "127.0.0.2", certificates.context(certificates.second)) as other:
        there = f"https://{behind_tls(other, 2)}/x"
        # Not even from a registry without TLS, nor by the CA that is trusted for the first registry alone.
        with (
            hostile_server(lambda *_: reply(status=307, Location=there)) as plain,
            client(tmp_path) as farm,
            pytest.raises(RegistryUntrustedError),
        ):
            farm.manifest(reference_at(plain.address))
        with hostile_server(
            lambda *_: reply(status=307, Location=there), tls=certificates.context(certificates.first)
        ) as registry:
            host, certs = behind_tls(registry), tmp_path / "certs"
            (certs / host).mkdir(parents=True)
            for one in (certificates.first, certificates.second):
                (certs / host / one.name).write_text(one.read_text())
            with client(tmp_path, certs=certs) as farm, pytest.raises(RegistryUntrustedError):
                farm.manifest(reference_at(host))
            (certs / behind_tls(other, 2)).mkdir()
            (certs / behind_tls(other, 2) / "ca.crt").write_text(certificates.second.read_text())
            with client(tmp_path, certs=certs) as farm, pytest.raises(RegistryError, match="not a manifest"):
                farm.manifest(reference_at(host))


@pytest.mark.parametrize("kind", ["redirect", "upload"])
def test_a_registry_behind_tls_cannot_lead_to_a_host_without_tls(
    tmp_path: Path, certificates: Certificates, kind: str
) -> None:
    leads: dict[str, Callable[[Registry, Reference], object]] = {
        "redirect": lambda farm, reference: farm.manifest(reference),
        "upload": lambda farm, reference: push_blob(farm, reference, blob_of(b"x"), lambda: iter([b"x"])),
    }
    with hostile_server(token_of, "127.0.0.2") as plain:
        status = 307 if kind == "redirect" else 202

        def act(_: HostileServer, asked: Asked) -> list[bytes]:
            return reply(
                status=404 if asked.method == "HEAD" else status, Location=f"http://{plain.address}/x"
            )

        with (
            hostile_server(act, tls=certificates.context(certificates.first)) as registry,
            client(tmp_path, authorities=[certificates.first]) as farm,
        ):
            reference = reference_at(behind_tls(registry))
            with pytest.raises(RegistryError, match="from https to http"):
                leads[kind](farm, reference)
    assert plain.asked == []


def blob_of(content: bytes, size: int | None = None) -> Descriptor:
    return Descriptor(OCI_LAYER, digest_of(content), len(content) if size is None else size)


# Memory


def twice_compressed() -> tuple[bytes, bytes]:
    """256 MiB of spaces in two layers of gzip, and in one."""
    once = gzip.compress(b" " * (256 * MIB), 9)
    return gzip.compress(once, 9), once


def test_a_compressed_answer_is_refused_and_not_unpacked(tmp_path: Path) -> None:
    twice, once = twice_compressed()
    for body, coding in ((twice, "gzip, gzip"), (once, "gzip"), (once, "deflate"), (once, "br")):
        with (
            hostile_server(lambda *_, b=body, c=coding: reply(b, Content_Encoding=c)) as registry,
            client(tmp_path) as farm,
            bounded(memory=4 * MIB),
            pytest.raises(RegistryError, match="sent a compressed answer"),
        ):
            farm.manifest(reference_at(registry.address))
        assert registry.asked[0].headers["accept-encoding"] == "identity"


def endless(*head: bytes) -> Iterator[bytes]:
    yield from head
    piece = b"[" * MIB
    while True:
        yield b"%x\r\n" % len(piece) + piece + b"\r\n"


CHUNKED = b"HTTP/1.1 %d X\r\nTransfer-Encoding: chunked\r\nContent-Type: application/json\r\n\r\n"


def test_an_endless_manifest_token_configuration_or_error_is_not_read_to_its_end(tmp_path: Path) -> None:
    def endless_token(server: HostileServer, asked: Asked) -> Iterable[bytes]:
        return (
            endless(CHUNKED % 200)
            if asked.path.startswith("/token")
            else challenge(f"http://{server.address}/token")
        )

    acts: dict[str, Act] = {
        "more than 4 MiB": lambda *_: endless(CHUNKED % 200),
        "more than 1 MiB": endless_token,
        "answered GET .* with 400": lambda *_: endless(CHUNKED % 400),
    }
    for says, act in acts.items():
        with (
            hostile_server(act) as registry,
            client(tmp_path) as farm,
            bounded(),
            pytest.raises(RegistryError, match=says),
        ):
            farm.manifest(reference_at(registry.address))
    with (
        hostile_server(lambda *_: endless(CHUNKED % 200)) as registry,
        client(tmp_path) as farm,
        bounded(),
        pytest.raises(RegistryError, match="more than 4 MiB"),
    ):
        farm.blob(reference_at(registry.address), digest_of(b""))


def header_flood(*, continues: bool) -> Iterator[bytes]:
    yield b"" if continues else b"HTTP/1.1 200 X\r\n"
    while True:
        yield b"HTTP/1.1 100 X\r\n\r\n" * 1000 if continues else b"X-Flood: %s\r\n" % (b"x" * 1000)


@pytest.mark.parametrize("continues", [False, True], ids=["headers", "100 Continue"])
def test_a_flood_of_headers_ends(tmp_path: Path, continues: bool) -> None:
    with (
        hostile_server(lambda *_: header_flood(continues=continues)) as registry,
        client(tmp_path, timeout=LIMIT) as farm,
        bounded(),
        pytest.raises(RegistryError),
    ):
        farm.manifest(reference_at(registry.address))


class Memory:
    """A sink that keeps only the size and the digest."""

    def __init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        self.size, self._sha256 = 0, hashlib.sha256()

    @property
    def digest(self) -> str:
        return f"sha256:{self._sha256.hexdigest()}"

    def write(self, data: bytes) -> None:
        self.size += len(data)
        self._sha256.update(data)


def test_no_more_of_a_blob_is_downloaded_or_copied_than_its_descriptor_says(tmp_path: Path) -> None:
    small = blob_of(b"abc")
    with hostile_server(lambda *_: endless(CHUNKED % 200)) as registry, client(tmp_path) as farm:
        sink = Memory()
        with bounded(), pytest.raises(RegistryDamagedError, match="digest mismatch"):
            pull_blob(farm, reference_at(registry.address), small, sink)
        assert sink.size < MIB
        with bounded(), pytest.raises(RegistryDamagedError, match="more bytes"):
            list(stream_blob(farm, reference_at(registry.address), small))


# Time


SLOW_HEAD = b"HTTP/1.1 200 X\r\nContent-Type: application/json\r\nX: "


@pytest.mark.parametrize("part", ["head", "body", "error", "token"])
def test_a_byte_at_a_time_is_not_awaited_for_ever(tmp_path: Path, part: str) -> None:
    def act(server: HostileServer, asked: Asked) -> Iterable[bytes]:
        if part == "token" and not asked.path.startswith("/token"):
            return challenge(f"http://{server.address}/token")
        head = b"HTTP/1.1 %d X\r\nContent-Length: 99999\r\n\r\n" % (400 if part == "error" else 200)
        return (
            server.one_at_a_time(SLOW_HEAD)
            if part == "head"
            else (piece for pieces in ([head], server.one_at_a_time(b"")) for piece in pieces)
        )

    with (
        hostile_server(act) as registry,
        client(tmp_path, timeout=LIMIT) as farm,
        bounded(seconds=8 * LIMIT),
        pytest.raises(RegistryUnavailableError, match=r"not complete after 0\.\d s|timed out"),
    ):
        farm.manifest(reference_at(registry.address))


def test_a_blob_that_hardly_arrives_is_given_up_and_a_large_one_may_take_longer_than_one_answer(
    tmp_path: Path,
) -> None:
    content = bytes(MIB)
    head = b"HTTP/1.1 200 X\r\nContent-Length: %d\r\n\r\n" % len(content)

    def drip(server: HostileServer, _: Asked) -> Iterator[bytes]:
        yield head
        yield from server.one_at_a_time(b"")

    with (
        hostile_server(drip) as registry,
        client(tmp_path, timeout=LIMIT) as farm,
        bounded(seconds=12 * LIMIT),
        pytest.raises(RegistryUnavailableError),
    ):
        pull_blob(farm, reference_at(registry.address), blob_of(content), Memory())

    def steady(server: HostileServer, _: Asked) -> Iterator[bytes]:
        yield head
        for _number in range(20):
            server.stopped.wait(LIMIT / 10)
            yield content[: MIB // 20]
        yield content[: MIB - MIB // 20 * 20]

    with hostile_server(steady) as registry, client(tmp_path, timeout=LIMIT) as farm:
        sink = Memory()
        pull_blob(farm, reference_at(registry.address), blob_of(content), sink)
        assert (sink.digest, len(registry.asked)) == (digest_of(content), 1)


def test_a_user_sees_one_line_and_no_internal_error() -> None:
    with hostile_server(lambda *_: reply(b"[" * (3 * MIB), Content_Type=OCI_INDEX)) as registry:
        command = [".venv/bin/farm", "inspect", f"{registry.address}/org/foo:1"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert "internal error" not in done.stderr
    assert len(done.stderr.strip().splitlines()) <= 2


def test_the_pace_that_a_blob_must_keep_is_one_that_slow_links_reach() -> None:
    # 1 kB/s: a modem.
    assert pace.SLOWEST == 1 << 10
