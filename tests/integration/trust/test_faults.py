"""Servers that are down, silent, untrusted or that refuse the login; processes killed at any point."""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import json
import multiprocessing
import os
import ssl
import subprocess
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from urllib3 import encode_multipart_formdata

from farm.errors import FarmError, TrustDeniedError, TrustError, TrustUnavailableError
from farm.registry.credentials import Login
from farm.settings import Secret
from farm.trust.notary.client import NotaryServer, open_client
from farm.trust.notary.deadline import TrustDeadline
from farm.trust.notary.initialise import initialise as initialise_gun
from farm.trust.notary.sign_targets import sign_targets
from farm.trust.notary.verify import read_signatures
from farm.trust.signer import SignTarget
from lab.process import free_port
from tests.support.http import send
from tests.support.proxy.http import http_proxy
from tests.support.proxy.tcp import proxy

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from farm.trust.notary.keys import SigningKey
    from lab.lab import Lab
    from tests.integration.trust.conftest import Initialise, NewGun
    from tests.support.proxy.http import Exchange
    from tests.support.proxy.tripwire import Tripwire

TIMEOUT = 60.0
NOBODY = f"https://localhost:{free_port()}"


def target(gun: str, tag: str = "v1") -> SignTarget:
    return SignTarget(gun, tag, f"sha256:{'ab' * 32}", 7)


@contextlib.contextmanager
def stalling(url: str, pieces: int) -> Iterator[tuple[str, Tripwire]]:
    """The URL of a proxy that passes on some pieces of data and holds the others, and its tripwire."""
    with proxy(url) as proxied:
        yield proxied.in_place_of(url), proxied.trip(lambda _: proxied.pieces > pieces, times=float("inf"))


@contextlib.contextmanager
def token_server(lab: Lab, status: int) -> Iterator[tuple[str, list[str]]]:
    """A server that wants a token; its token service answers `status`. And the logins that both received."""
    logins: list[str] = []

    def act(exchange: Exchange) -> Awaitable[None]:
        token = exchange.path.startswith("/token")
        logins.append(dict(exchange.request.headers).get(b"authorization", b"").decode())
        challenge = {"WWW-Authenticate": f'Bearer realm="{proxied.url}/token",service="notary"'}
        return exchange.answer(status if token else 401, challenge, b'{"token": "invalid"}' if token else b"")

    with http_proxy(lab.registry) as proxied:
        proxied.breaks(".*", "", act, times=float("inf"))
        yield proxied.url, logins


def processes(word: str) -> list[str]:
    """The command lines of all processes that name `word`."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            found.append(path.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
    return [line for line in found if word in line]


def wait_for(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true"
        threading.Event().wait(0.01)


def run_and_kill(action: Callable[..., object], arguments: dict[str, Any], stalled: Tripwire) -> None:
    """Run an action in a process of its own, and kill the process when the connection stalls."""
    process = multiprocessing.get_context("spawn").Process(target=action, kwargs=arguments)
    process.start()
    wait_for(lambda: stalled.tripped or not process.is_alive())
    process.kill()
    process.join()


def test_a_server_that_is_down_is_reported_as_unavailable(
    gun: str, key: SigningKey, server: NotaryServer
) -> None:
    down = dataclasses.replace(server, url=NOBODY)
    with pytest.raises(TrustUnavailableError, match="connection refused"):
        sign_targets([target(gun)], key, down, timeout=TIMEOUT)
    with pytest.raises(TrustUnavailableError, match="connection refused"):
        read_signatures([gun], down, timeout=TIMEOUT)


def test_signatures_that_were_read_before_do_not_count_when_the_server_is_down(
    gun: str, key: SigningKey, server: NotaryServer
) -> None:
    sign_targets([target(gun)], key, server, timeout=TIMEOUT)
    with pytest.raises(TrustUnavailableError):
        read_signatures([gun], dataclasses.replace(server, url=NOBODY), timeout=TIMEOUT)


def test_a_silent_server_ends_at_the_deadline_and_no_client_process_remains(
    gun: str, key: SigningKey, server: NotaryServer
) -> None:
    with stalling(server.url, 0) as (url, _):
        begun = time.monotonic()
        with pytest.raises(TrustUnavailableError, match=r"took longer than 0\.5 s"):
            sign_targets([target(gun)], key, dataclasses.replace(server, url=url), timeout=0.5)
        assert time.monotonic() - begun < 3
        assert processes(url) == []


def test_a_certificate_of_an_unknown_ca_names_the_setting(
    gun: str, server: NotaryServer, certificate: Path
) -> None:
    with pytest.raises(TrustError, match="notary-ca") as caught:
        read_signatures([gun], dataclasses.replace(server, ca=certificate), timeout=TIMEOUT)
    assert not caught.value.retryable


def test_a_missing_ca_file_names_the_setting(gun: str, server: NotaryServer, tmp_path: Path) -> None:
    with pytest.raises(TrustError, match="notary-ca"):
        read_signatures([gun], dataclasses.replace(server, ca=tmp_path / "none"), timeout=TIMEOUT)


@pytest.mark.parametrize("status", [200, 401])
def test_a_refused_login_is_an_error_and_only_the_token_service_has_seen_it(
    lab: Lab, server: NotaryServer, status: int
) -> None:
    login = Login("maintainer", Secret("hunter22"))
    with (
        token_server(lab, status) as (url, logins),
        pytest.raises(TrustDeniedError, match="refuses the login"),
    ):
        read_signatures(["localhost:5000/a"], NotaryServer(url, server.work), timeout=TIMEOUT, login=login)
    shown = f"Basic {base64.b64encode(b'maintainer:hunter22').decode()}"
    assert shown in logins or status == 401


def test_expired_signatures_are_not_reported_as_missing_and_the_next_signing_renews_them(
    gun: str, key: SigningKey, server: NotaryServer
) -> None:
    sign_targets([target(gun)], key, server, timeout=TIMEOUT)
    expire(gun, key, server)

    def expired() -> bool:
        try:
            read_signatures([gun], server, timeout=TIMEOUT)
        except TrustError as error:
            return "have expired" in str(error)
        return False

    wait_for(expired)
    sign_targets([target(gun, "v2")], key, server, timeout=TIMEOUT)
    assert read_signatures([gun], server, timeout=TIMEOUT)[gun].keys() == {"v1", "v2"}


@pytest.mark.parametrize("chunks", [0, 2, 4, 6, 9, 12, 15, 18, 22, 26])
def test_a_signing_killed_at_any_point_does_not_block_the_next(
    gun: str, key: SigningKey, server: NotaryServer, chunks: int
) -> None:
    with stalling(server.url, chunks) as (url, stalled):
        slow = dataclasses.replace(server, url=url)
        arguments = {"targets": [target(gun)], "key": key, "server": slow, "timeout": TIMEOUT}
        run_and_kill(sign_targets, arguments, stalled)
        wait_for(lambda: not processes(url))
    sign_targets([target(gun, "v2")], key, server, timeout=TIMEOUT)
    sign_targets([target(gun)], key, server, timeout=TIMEOUT)
    assert read_signatures([gun], server, timeout=TIMEOUT)[gun].keys() == {"v1", "v2"}
    assert [path.name for path in server.work.iterdir()] == [".lock"]


@pytest.mark.parametrize("chunks", [0, 2, 5, 8, 11, 14, 17, 20, 24, 28, 32])
def test_an_initialisation_killed_at_any_point_is_completed_by_the_next(
    initialise: Initialise, key: SigningKey, server: NotaryServer, tmp_path: Path, chunks: int
) -> None:
    gun = f"localhost:5000/{tmp_path.name.lower()}"
    with stalling(server.url, chunks) as (url, stalled):
        slow = {"server": dataclasses.replace(server, url=url), "trust_dir": tmp_path / "admin"}
        run_and_kill(initialise_gun, {**initialise.keywords, **slow, "gun": gun}, stalled)
    initialise(gun, trust_dir=tmp_path / "admin")
    sign_targets([target(gun)], key, server, timeout=TIMEOUT)
    assert initialise(gun, trust_dir=tmp_path / "admin") == ()


def test_no_secret_appears_in_any_command_line(
    new_gun: NewGun, initialise: Initialise, key: SigningKey, server: NotaryServer, tmp_path: Path
) -> None:
    login = Login("maintainer", Secret("a-registry-password"))
    seen: set[str] = set()
    over = threading.Event()

    def watch() -> None:
        while not over.is_set():
            seen.update(processes(" "))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        gun = new_gun()
        initialise(gun, trust_dir=tmp_path / "admin", login=login)
        sign_targets([target(gun)], key, server, login=login, timeout=TIMEOUT)
    finally:
        over.set()
        watcher.join()
    assert any("addhash" in line for line in seen)
    assert any("openssl pkcs8" in line for line in seen)
    assert key.passphrase is not None
    root: Secret = initialise.keywords["root_passphrase"]
    secrets = [key.passphrase.reveal(), root.reveal(), login.password.reveal(), login.basic]
    assert not [line for line in seen if any(secret in line for secret in secrets)]


def test_no_passphrase_is_echoed_by_the_terminal(new_gun: NewGun, server: NotaryServer) -> None:
    secret = Secret("seen-by-nobody")
    answers = {role: [secret] for role in ("root", "targets", "snapshot")}
    for _ in range(20):
        with open_client(new_gun(), server, TrustDeadline.after(TIMEOUT, "the test")) as client:
            outcome = dataclasses.replace(client, passphrases=answers).attempt("init", client.gun)
        assert outcome.status == 0
        assert secret.reveal() not in outcome.output


def test_the_error_for_a_missing_program_names_the_package_to_install(
    gun: str, key: SigningKey, server: NotaryServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(FarmError, match="apt-get install notary"):
        sign_targets([target(gun)], key, server, timeout=TIMEOUT)


def expire(gun: str, key: SigningKey, server: NotaryServer) -> None:
    """Publish the current targets so that they expire in two seconds; the server refuses expired ones."""
    url, tls = f"{server.url}/v2/{gun}/_trust/tuf/", ssl.create_default_context(cafile=server.ca)
    metadata = send("GET", f"{url}targets/releases.json", tls=tls).json()
    metadata["signed"]["version"] += 1
    ends = datetime.now(UTC) + timedelta(seconds=2)
    metadata["signed"]["expires"] = ends.strftime("%Y-%m-%dT%H:%M:%SZ")
    signed = signature(compact(metadata["signed"]), key)
    metadata["signatures"][0]["sig"] = base64.b64encode(signed).decode()
    part = ("targets/releases", compact(metadata), "application/octet-stream")
    body, content_type = encode_multipart_formdata({"files": part})
    assert send("POST", url, body=body, headers={"Content-Type": content_type}, tls=tls).status == 200


def compact(value: object) -> bytes:
    """JSON as the server writes it; the order of keys is kept, so signatures stay valid."""
    return json.dumps(value, separators=(",", ":")).encode()


def signature(data: bytes, key: SigningKey) -> bytes:
    """An ECDSA signature as TUF writes it: r and s, 32 bytes each."""
    assert key.passphrase is not None
    made = subprocess.run(
        ["openssl", "dgst", "-sha256", "-passin", "env:SECRET", "-sign", str(key.path)],
        input=data,
        stdout=subprocess.PIPE,
        check=True,
        env={**os.environ, "SECRET": key.passphrase.reveal()},
    ).stdout
    length = made[3]
    r, s = made[4 : 4 + length], made[6 + length :]
    return b"".join(int.from_bytes(part).to_bytes(32) for part in (r, s))
