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
from farm.system.locks import locked
from farm.trust.notary.client import open_client
from farm.trust.notary.limits import TrustDeadline
from farm.trust.notary.verify import read_signatures
from lab.process import free_port
from tests.support.farm_command import wait_until
from tests.support.http import send
from tests.support.proxy.http import http_proxy
from tests.support.proxy.tcp import proxy

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from farm.trust.notary.client import NotaryServer
    from farm.trust.notary.keys import SigningKey
    from lab.lab import Lab
    from tests.integration.trust.conftest import Initialise, NewGun, Repository
    from tests.support.proxy.http import Exchange
    from tests.support.proxy.tripwire import Tripwire

NOBODY = f"https://localhost:{free_port()}"


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


def run_and_kill(action: Callable[..., object], arguments: dict[str, Any], stalled: Tripwire) -> None:
    """Run an action in a process of its own, and kill the process when the connection stalls."""
    process = multiprocessing.get_context("spawn").Process(target=action, kwargs=arguments)
    process.start()
    wait_until(lambda: stalled.hits or not process.is_alive())
    process.kill()
    process.join()


def test_a_server_that_is_down_is_reported_as_unavailable(repository: Repository) -> None:
    down = repository.through(url=NOBODY)
    with pytest.raises(TrustUnavailableError, match="connection refused"):
        down.sign()
    # A signature that was read before does not count.
    repository.sign()
    with pytest.raises(TrustUnavailableError, match="connection refused"):
        down.signed()


def test_a_silent_server_ends_at_the_deadline_and_no_client_process_remains(repository: Repository) -> None:
    with stalling(repository.server.url, 0) as (url, _):
        begun = time.monotonic()
        with pytest.raises(TrustUnavailableError, match=r"took longer than 0\.5 s"):
            repository.through(url=url, timeout=0.5).sign()
        assert time.monotonic() - begun < 3
        assert processes(url) == []


@pytest.mark.parametrize("ca", ["of-another.crt", "none"])
def test_a_ca_that_cannot_be_used_names_the_setting(
    repository: Repository, certificate: Path, tmp_path: Path, ca: str
) -> None:
    (tmp_path / "of-another.crt").write_bytes(certificate.read_bytes())
    with pytest.raises(TrustError, match="notary-ca") as caught:
        repository.through(ca=tmp_path / ca).signed()
    assert not caught.value.retryable


def test_a_place_that_cannot_be_written_is_an_explained_error(new: Repository) -> None:
    with pytest.raises(TrustError, match="no trust directory can be made"):
        new.through(work=Path("/proc/farm")).signed()


def test_a_lock_that_stays_taken_ends_at_the_deadline(new: Repository) -> None:
    new.server.work.mkdir()
    with (
        locked(new.server.work / ".lock"),
        pytest.raises(TrustUnavailableError, match=r"longer than 0\.05 s"),
    ):
        new.through(timeout=0.05).signed()


@pytest.mark.parametrize("status", [200, 401])
def test_a_refused_login_is_an_error_and_only_the_token_service_has_seen_it(
    lab: Lab, new: Repository, status: int
) -> None:
    login = Login("maintainer", Secret("hunter22"))
    with (
        token_server(lab, status) as (url, logins),
        pytest.raises(TrustDeniedError, match="refuses the login"),
    ):
        new.through(url=url, login=login).signed()
    shown = f"Basic {base64.b64encode(b'maintainer:hunter22').decode()}"
    assert shown in logins or status == 401


def test_expired_signatures_are_not_reported_as_missing_and_the_next_signing_renews_them(
    repository: Repository,
) -> None:
    repository.sign()
    expire(repository)

    def expired() -> bool:
        try:
            repository.signed()
        except TrustError as error:
            return "have expired" in str(error)
        return False

    wait_until(expired)
    to_sign = read_signatures([repository.gun], repository.server, to_sign=True)
    assert to_sign[repository.gun].tags == {}
    repository.sign(repository.target("v2"))
    assert repository.signed().keys() == {"v1", "v2"}


@pytest.mark.parametrize("chunks", [0, 2, 4, 6, 9, 12, 15, 18, 22, 26])
def test_a_signing_killed_at_any_point_does_not_block_the_next(repository: Repository, chunks: int) -> None:
    with stalling(repository.server.url, chunks) as (url, stalled):
        run_and_kill(repository.through(url=url).sign, {}, stalled)
        wait_until(lambda: not processes(url))
    repository.sign(repository.target("v2"))
    repository.sign()
    assert repository.signed().keys() == {"v1", "v2"}
    assert {path.name for path in repository.server.work.iterdir()} == {".lock", "roots"}


@pytest.mark.parametrize("chunks", [0, 2, 5, 8, 11, 14, 17, 20, 24, 28, 32])
def test_an_initialisation_killed_at_any_point_is_completed_by_the_next(
    initialise: Initialise, new: Repository, tmp_path: Path, chunks: int
) -> None:
    own = {"gun": new.gun, "trust_dir": tmp_path / "admin"}
    with stalling(new.server.url, chunks) as (url, stalled):
        run_and_kill(initialise, {**own, "server": new.through(url=url).server}, stalled)
    initialise(**own)
    new.sign()
    assert initialise(**own) == ()


def test_no_secret_appears_in_any_command_line(
    new: Repository, initialise: Initialise, tmp_path: Path
) -> None:
    login = Login("maintainer", Secret("a-registry-password"))
    with_login = new.through(login=login)
    seen: set[str] = set()
    over = threading.Event()

    def watch() -> None:
        while not over.is_set():
            seen.update(processes(" "))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        initialise(new.gun, trust_dir=tmp_path / "admin", server=with_login.server)
        for number in range(30):  # a process may begin and end between two looks
            with_login.sign(new.target(f"v{number}"))
            lines = "\n".join(list(seen))
            if caught := "addhash" in lines and "openssl pkcs8" in lines:
                break
    finally:
        over.set()
        watcher.join()
    assert caught
    assert new.key.passphrase is not None
    root: Secret = initialise.keywords["root_passphrase"]
    secrets = [new.key.passphrase.reveal(), root.reveal(), login.password.reveal(), login.basic]
    assert not [line for line in seen if any(secret in line for secret in secrets)]


def test_no_passphrase_is_echoed_by_the_terminal(new_gun: NewGun, server: NotaryServer) -> None:
    deadline = TrustDeadline.after(60.0, "the test")
    secret = Secret("seen-by-nobody")
    answers = {role: [secret] for role in ("root", "targets", "snapshot")}
    for _ in range(20):
        with open_client(new_gun(), server, deadline) as client:
            output = dataclasses.replace(client, passphrases=answers).run("init", client.gun)
        assert output is not None
        assert secret.reveal() not in output


def test_the_error_for_a_missing_program_names_the_package_to_install(
    repository: Repository, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(FarmError, match="apt-get install notary"):
        repository.sign()


def expire(repository: Repository) -> None:
    """Publish the current targets so that they expire in two seconds; the server refuses expired ones."""
    server = repository.server
    url, tls = f"{server.url}/v2/{repository.gun}/_trust/tuf/", ssl.create_default_context(cafile=server.ca)
    metadata = send("GET", f"{url}targets/releases.json", tls=tls).json()
    metadata["signed"]["version"] += 1
    ends = datetime.now(UTC) + timedelta(seconds=2)
    metadata["signed"]["expires"] = ends.strftime("%Y-%m-%dT%H:%M:%SZ")
    signed = signature(compact(metadata["signed"]), repository.key)
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
