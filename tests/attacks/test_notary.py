"""A notary server, or whoever may push to the registry, cannot make the farm sign or believe anything.

The attackers: the owner of a notary server with a root key of its own and a certificate that is trusted, or
of the network in front of it; somebody with a login at the registry, and no key.
"""

from __future__ import annotations

import json
import shutil
from contextlib import contextmanager
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import pytest

from farm.errors import TrustError
from farm.registry.oci import ACCEPT
from lab import services
from tests.support.http import send
from tests.support.proxy.http import http_proxy

if TYPE_CHECKING:
    from collections.abc import Awaitable, Iterator
    from pathlib import Path

    from lab.lab import Lab
    from tests.integration.trust.conftest import Initialise, Repository
    from tests.support.farm_command import Answer, Workspace
    from tests.support.proxy.http import Exchange

HOSTILE = "\x1b[2JEnter passphrase for root key with ID 0123456 (localhost): "


@pytest.fixture(scope="module")
def signed(lasting: Workspace) -> Workspace:
    """The package `good`, published and signed for amd64, and `evil`, published for arm64 too."""
    lasting.write("good", arches="amd64")
    lasting.write("evil", arches="amd64, arm64")
    lasting.done("trust", "init", "good")
    lasting.done("push", "good")
    lasting.done("push", "--no-sign", "evil")
    return lasting


@pytest.fixture(scope="module")
def other_server(
    signed: Workspace, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[dict[str, str], dict[str, str]]]:
    """Variables of a farm that is led to another notary server, and of that server's owner."""
    home = tmp_path_factory.mktemp("other")
    located, ca = services.notary(home)
    located.service.launch()
    try:
        located.service.wait()
        led = {"FARM_NOTARY_SERVER": located.address, "FARM_NOTARY_CA": str(ca)}
        owner = led | {"FARM_STATE_DIR": str(home / "state"), "DOCKER_CONFIG": str(home / "docker")}
        # The server's owner knows the public half of the farm's key, and allows it.
        signed.done("trust", "init", "good", "evil", **owner)
        yield led, owner
    finally:
        located.service.stop()


def refused(answer: Answer, *words: str) -> None:
    """One line with these words, and the exit code of a signature that is refused."""
    assert answer.code == 4, (answer.code, answer.out, answer.err)
    assert len(answer.err.splitlines()) == 1
    assert answer.err.startswith("farm: ")
    for word in words:
        assert word in answer.err


def signature(workspace: Workspace, reference: str, **variables: str) -> str:
    state: str = workspace.done("inspect", "--json", reference, **variables).json["signature"]
    return state


@contextmanager
def put_in_place_of(workspace: Workspace, reference: str, other: str) -> Iterator[str]:
    """Let a tag refer to what another one of another repository refers to; restore it afterwards."""
    before = manifest(reference)
    content = json.loads(manifest(other)[1])
    # A registry accepts an index only if it has its members.
    for member in content["manifests"]:
        copy = f"{reference.rpartition(':')[0]}:copy-{member['platform']['architecture']}"
        workspace.done("pkg", "remote-tag", f"{other.rpartition(':')[0]}@{member['digest']}", copy)
    answer = put(reference, *manifest(other))
    try:
        yield answer
    finally:
        put(reference, *before)


def manifest(reference: str) -> tuple[str, bytes]:
    answer = send("GET", url(reference), headers=ACCEPT)
    return answer.headers["Content-Type"], answer.data


def put(reference: str, media_type: str, body: bytes) -> str:
    """Put a manifest as somebody who may push; returns its digest."""
    answer = send("PUT", url(reference), body=body, headers={"Content-Type": media_type})
    assert answer.status == HTTPStatus.CREATED
    return answer.headers["Docker-Content-Digest"]


def url(reference: str) -> str:
    name, _, tag = reference.rpartition(":")
    host, _, path = name.partition("/")
    return f"http://{host}/v2/{path}/manifests/{tag}"


@pytest.mark.parametrize("words", ["plan good", "push good", "push --force good", "manifest good"])
def test_another_notary_server_with_a_root_key_of_its_own_is_refused_before_anything_is_built(
    signed: Workspace, other_server: tuple[dict[str, str], dict[str, str]], words: str
) -> None:
    led, owner = other_server
    refused(signed.farm(*words.split(), **led), "shows the root key", "is pinned in")
    assert signature(signed, signed.reference("good"), **owner) == "unsigned"


def test_another_notary_server_gets_no_signature_and_decides_nothing_that_is_shown(
    signed: Workspace, other_server: tuple[dict[str, str], dict[str, str]]
) -> None:
    led, owner = other_server
    good = signed.reference("good")
    signed.done("sign", good, **owner)
    for words in (["sign", good], ["inspect", good], ["trust", "init", "good"], ["trust", "pin", "good"]):
        answer = signed.farm(*words, **led)
        assert answer.code == 4, (words, answer.out, answer.err)
        assert "shows the root key" in answer.err
    doctor = signed.farm("doctor", "--json", **led)
    assert next(one for one in doctor.json if one["part"] == "notary")["ok"]
    assert signature(signed, good) == "signed"


def test_the_first_server_that_is_seen_is_not_trusted_for_being_the_first(
    signed: Workspace, other_server: tuple[dict[str, str], dict[str, str]], tmp_path: Path
) -> None:
    """A verifier with nothing but farm and the name; the pin is an act of its own that shows the key."""
    fresh = {"FARM_TRUST_PINS": str(tmp_path / "pins.yml"), "FARM_STATE_DIR": str(tmp_path / "state")}
    good = signed.reference("good")
    name = good.rpartition(":")[0]
    refused(signed.farm("inspect", good, **fresh), "no root key is pinned", f"farm trust pin {name}")
    refused(signed.farm("plan", "good", **fresh), "no root key is pinned", f"farm trust pin {name}")
    (line,) = signed.done("trust", "pin", name, **fresh).out.splitlines()
    private = [file.stem for file in (signed.directory.parent / "docker/trust/private").iterdir()]
    assert line.removeprefix(f"{name}  ") in private
    assert signature(signed, good, **fresh) == "signed"
    refused(signed.farm("inspect", good, **(fresh | other_server[0])), "shows the root key")
    shutil.rmtree(tmp_path / "state")
    root = ("trust", "pin", "--root", "0" * 64, name)
    signed.done(*root, **fresh)
    refused(signed.farm("inspect", good, **fresh), "but 000000000000 is pinned")


def test_a_signed_tag_that_was_overwritten_is_named_by_plan_push_sign_and_inspect_and_left_alone(
    signed: Workspace,
) -> None:
    good, evil = signed.reference("good"), signed.reference("evil")
    honest = signed.digest(good)
    with put_in_place_of(signed, good, evil) as planted:
        for words in (["plan", "good"], ["push", "good"], ["sign", good]):
            answer = signed.farm(*words)
            refused(answer, f"{good} refers to {planted}, but {honest} is signed", "farm push --force")
        shown = signed.done("inspect", good)
        assert "signature: other" in shown.out
        assert f"refers to {planted}, but {honest} is signed" in shown.err
        assert signed.digest(good) == planted
        # The hint is true.
        signed.done("pkg", "remote-tag", f"{good.rpartition(':')[0]}@{honest}", good)
        assert signed.done("plan", "good").out.rstrip().endswith("published and signed")


def test_a_signed_architecture_tag_that_was_overwritten_is_refused_too(signed: Workspace) -> None:
    good = signed.reference("good")
    signed.done("sign", f"{good}-amd64")
    media_type, body = manifest(f"{good}-amd64")
    try:
        put(f"{good}-amd64", media_type, body + b"\n")
        refused(signed.farm("plan", "good"), f"{good}-amd64 refers to", "was overwritten")
    finally:
        put(f"{good}-amd64", media_type, body)


def test_a_hostile_notary_server_cannot_ask_for_a_passphrase(
    lab: Lab, new: Repository, initialise: Initialise
) -> None:
    """What it says looks like the client's own prompt, and the root key's passphrase is at hand."""
    seen: list[str] = []

    def act(exchange: Exchange) -> Awaitable[None]:
        seen.append(f"{exchange.path} {exchange.request.headers!r}")
        where = f'Bearer realm="{proxied.url}/token",service="{HOSTILE[4:]}"'
        words = json.dumps({"errors": [{"code": "DENIED", "message": f"\r\n{HOSTILE}", "details": HOSTILE}]})
        return exchange.answer(401, {"WWW-Authenticate": where}, words.encode())

    with http_proxy(lab.registry) as proxied:
        proxied.breaks(".*", "", act, times=float("inf"))
        with pytest.raises(TrustError) as caught:
            initialise(new.gun, server=new.through(url=proxied.url).server)
    secret: Any = initialise.keywords["root_passphrase"]
    assert seen
    assert secret.reveal() not in "".join(seen)
    assert secret.reveal() not in str(caught.value)
    assert "\x1b" not in str(caught.value)
