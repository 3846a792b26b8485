"""Pins: which root keys count for which names, and root.json that two readers could read differently."""

from __future__ import annotations

import base64
import json
import ssl
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from farm.errors import InputError, SettingsError, TrustError
from farm.settings import Secret
from farm.trust.notary.delegation import certificate_of, generate_root_key
from farm.trust.notary.keys import SigningKey
from farm.trust.notary.limits import TrustDeadline
from farm.trust.notary.pins import Pins, pin, prefix_of, read_pins
from farm.trust.notary.roots import root_ids

A, B, C = "a" * 64, "b" * 64, "c" * 64
GUN = "registry.example:5000/linuxkit/foo"


def test_the_nearest_pin_counts_and_a_prefix_ends_at_a_slash() -> None:
    pins = Pins({"registry.example:5000/*": (A,), "registry.example:5000/linuxkit/*": (B,), GUN: (C,)})
    assert pins.ids(GUN) == (C,)
    assert pins.ids("registry.example:5000/linuxkit/bar") == (B,)
    assert pins.ids("registry.example:5000/linuxkit") == (A,)
    assert pins.ids("registry.example:5000/linuxkit-evil/bar") == (A,)
    assert pins.ids("registry.example/linuxkit/foo") == pins.ids("registry.example:50000/x") == ()


def test_a_pin_that_is_written_is_read_back_and_replaces_only_that_of_the_same_name(tmp_path: Path) -> None:
    file = tmp_path / "new" / "pins.yml"
    assert read_pins(file).ids(GUN) == ()
    pin(file, prefix_of(GUN), [A])
    pin(file, GUN, [B, C])
    pin(file, GUN, [C])
    assert (read_pins(file).ids(GUN), read_pins(file).ids(f"{GUN}2")) == ((C,), (A,))


@pytest.mark.parametrize(
    "text", ["roots: {a: [abc]}", "roots: {a: 1}", "root: {}", "roots: [", f"roots: {{a: [{A.upper()}]}}"]
)
def test_a_file_of_pins_that_is_wrong_is_named_with_its_line(tmp_path: Path, text: str) -> None:
    (tmp_path / "pins.yml").write_text(text)
    with pytest.raises(SettingsError, match=r"pins\.yml:[12]: "):
        read_pins(tmp_path / "pins.yml")


def test_a_place_that_cannot_hold_pins_is_named() -> None:
    with pytest.raises(InputError, match="set trust-pins to another file"):
        pin(Path("/proc/farm/pins.yml"), GUN, [A])


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """The id of a root key, and its certificate in PEM."""
    directory, passphrase = tmp_path_factory.mktemp("trust"), Secret("long enough to be taken")
    deadline = TrustDeadline.after(60, "the test")
    name = generate_root_key(directory, passphrase, deadline)
    key = SigningKey(directory / "private" / f"{name}.key", passphrase)
    return name, certificate_of(key, deadline)


def shown(directory: Path, text: str) -> Any:
    """A client that has saved this root.json."""
    file = directory / "tuf" / GUN / "metadata" / "root.json"
    file.parent.mkdir(parents=True)
    file.write_text(text)
    server = SimpleNamespace(url="https://notary.example")
    return SimpleNamespace(
        gun=GUN, trust_dir=directory, server=server, deadline=TrustDeadline.after(60, "the test")
    )


def document(pem: str, name: str = A) -> dict[str, Any]:
    """The content of a root.json with one root key."""
    keys = {name: {"keytype": "ecdsa-x509", "keyval": {"public": base64.b64encode(pem.encode()).decode()}}}
    return {"signed": {"keys": keys, "roles": {"root": {"keyids": [name]}}}}


def test_the_id_of_a_root_key_is_the_one_that_notary_lists(tmp_path: Path, root: tuple[str, str]) -> None:
    name, pem = root
    assert root_ids(shown(tmp_path, json.dumps(document(pem)))) == (name,)


def test_a_root_json_that_two_readers_could_read_differently_is_refused(
    tmp_path: Path, root: tuple[str, str]
) -> None:
    """The farm would see the pinned key, and the notary client, in Go, another one."""
    _, pem = root
    honest = json.dumps(document(pem))
    der = base64.b64encode(ssl.PEM_cert_to_DER_cert(pem)).decode()
    damaged = f"-----BEGIN CERTIFICATE-----\n{der[:8]}=\n{der[8:]}\n-----END CERTIFICATE-----\n"
    forms = [
        honest[:-1] + ', "Signed": {}}',
        honest[:-1] + ', "\u017figned": {}}',
        honest[:-1] + ', "signed": {}}',
        honest.replace("keyids", "KeyIDs"),
        json.dumps(document(pem, "\ud800")),
        json.dumps(
            document(f"-----BEGIN X509 CERTIFICATE-----\n{der}\n-----END X509 CERTIFICATE-----\n{pem}")
        ),
        json.dumps(document(damaged + pem)),
        json.dumps(document(f"{pem}a word")),
        json.dumps(document("")),
        "[" * 100_000,
        "{}",
        "3",
        '{"signed": {"keys": {}, "roles": {"root": {"keyids": []}}}}',
    ]
    for number, text in enumerate(forms):
        with pytest.raises(TrustError, match=r"root\.json that is not valid|no X\.509"):
            root_ids(shown(tmp_path / str(number), text))
