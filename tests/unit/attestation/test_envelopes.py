"""Statements, envelopes and keys: what is refused, and in which words."""

from __future__ import annotations

import base64
import json
import os
import subprocess
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from farm.attestation.envelope import LARGEST_ENVELOPE, PAYLOAD_TYPE, open_envelope, seal
from farm.attestation.statement import LARGEST_STATEMENT, from_statement, to_statement
from farm.attestation.worker_key import create_worker_key, load_worker_key, read_public_key
from farm.errors import AttestationError, InputError, TrustDeniedError
from tests.support.attestations import PROVENANCE, Worker

if TYPE_CHECKING:
    from pathlib import Path


def test_a_statement_is_slsa_provenance_of_the_image() -> None:
    said = json.loads(to_statement(replace(PROVENANCE, fingerprint=f"sha256:{'f' * 64}")))
    build, details = said["predicate"]["buildDefinition"], said["predicate"]["runDetails"]
    assert (said["_type"], said["predicateType"]) == (
        "https://in-toto.io/Statement/v1",
        "https://slsa.dev/provenance/v1",
    )
    (subject,) = said["subject"]
    assert subject == {"name": PROVENANCE.name, "digest": {"sha256": PROVENANCE.image[7:]}}
    assert build["externalParameters"] == PROVENANCE.parameters
    assert build["resolvedDependencies"][0]["digest"] == {"gitCommit": PROVENANCE.tree}
    assert details["builder"]["id"] == f"urn:linuxkit-farm:worker:arm64@rack3#sha256:{'f' * 64}"
    assert details["metadata"]["finishedOn"] == "2023-11-14T22:14:20.250000Z"


@pytest.mark.parametrize(
    "wrong",
    [
        {"image": "sha256:ab"},
        {"name": "foo"},
        {"name": "localhost:1/linuxkit/foo@sha256:ab"},
        {"tag": "a b"},
        {"arch": "sparc"},
        {"run": "r1\x1b[2J"},
        {"builder": ""},
        {"finished": float("nan")},
        {"started": -1.0},
        {"parameters": []},
        {"materials": (("a:b", "md5:00"),)},
        {"fingerprint": "ab"},
    ],
)
def test_what_no_worker_states_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(AttestationError, match="malformed"):
        replace(PROVENANCE, **wrong)


@pytest.mark.parametrize(
    "parameters",
    [{"a": "x" * LARGEST_STATEMENT}, {"a": float("nan")}, {"a": {1, 2}}],
    ids=["size", "nan", "set"],
)
def test_parameters_that_cannot_be_stated_are_refused(parameters: dict[str, Any]) -> None:
    with pytest.raises(AttestationError):
        to_statement(replace(PROVENANCE, parameters=parameters))


def test_hostile_bytes_are_refused_without_reading_them_all() -> None:
    deep = b'{"a":' * 100_000
    twice = to_statement(PROVENANCE).replace(b'"arch":"arm64"', b'"arch":"amd64","arch":"arm64"')
    for body in (deep, twice, b" " * (LARGEST_STATEMENT + 1), b"\xff", b"[" * 100_000, b"1" * 10_000):
        with pytest.raises(AttestationError):
            from_statement(body)
        with pytest.raises(AttestationError):
            open_envelope(body, [])
    with pytest.raises(AttestationError, match="too large"):
        open_envelope(b" " * (LARGEST_ENVELOPE + 1), [])


def test_the_largest_statement_fits_into_an_envelope() -> None:
    worker = Worker()
    empty = len(to_statement(replace(PROVENANCE, parameters={"a": ""})))
    said = to_statement(replace(PROVENANCE, parameters={"a": "x" * (LARGEST_STATEMENT - empty)}))
    assert open_envelope(seal(said, worker.key), [worker.key.public]) == (said, worker.key.public)


def test_an_envelope_is_opened_with_the_one_key_that_signed_it() -> None:
    one, other = Worker(), Worker()
    said, key = open_envelope(one.states(), [other.key.public, one.key.public])
    assert (key, from_statement(said).builder) == (one.key.public, one.name)
    for keys in ([], [other.key.public]):
        with pytest.raises(AttestationError, match="not signed by a worker"):
            open_envelope(one.states(), keys)


def test_foreign_signatures_beside_a_known_one_make_no_difference() -> None:
    one, other = Worker(), Worker()
    first, second = (json.loads(worker.states(builder="x", fingerprint="")) for worker in (one, other))
    first["signatures"] = [*second["signatures"], {"keyid": "", "sig": "AAAA"}, *first["signatures"]]
    assert open_envelope(json.dumps(first).encode(), [one.key.public])[1] == one.key.public


def test_openssl_verifies_what_a_worker_signs(tmp_path: Path) -> None:
    worker = Worker()
    envelope = json.loads(worker.states())
    payload, signature = (
        base64.b64decode(text) for text in (envelope["payload"], envelope["signatures"][0]["sig"])
    )
    kind = PAYLOAD_TYPE.encode()
    signed = b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)
    for name, content in {
        "signed": signed,
        "signature": signature,
        "key.der": base64.b64decode(worker.key.public),
    }.items():
        (tmp_path / name).write_bytes(content)
    command = "openssl dgst -sha256 -verify key.der -keyform DER -signature signature signed"
    done = subprocess.run(
        command.split(), cwd=tmp_path, capture_output=True, text=True, timeout=20, check=False
    )
    assert done.stdout == "Verified OK\n", done.stderr


def test_a_key_is_created_once_for_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "new" / "worker-key.pem"
    public = create_worker_key(path)
    key = load_worker_key(path)
    assert (key.public, path.stat().st_mode & 0o777) == (public, 0o600)
    assert read_public_key(public)
    with pytest.raises(InputError, match="exists"):
        create_worker_key(path)
    assert load_worker_key(path).public == public
    assert "PRIVATE" not in repr(key)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644])
def test_a_key_that_others_may_read_is_not_used(tmp_path: Path, mode: int) -> None:
    create_worker_key(tmp_path / "key")
    (tmp_path / "key").chmod(mode)
    with pytest.raises(AttestationError, match="open to others") as caught:
        load_worker_key(tmp_path / "key")
    assert isinstance(caught.value, TrustDeniedError)
    assert "chmod 600" in str(caught.value)


@pytest.mark.parametrize(
    "command",
    [
        "openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-384 -out key",
        "openssl genpkey -algorithm ED25519 -out key",
        "openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -aes256 -pass pass:1234 -out key",
        "cp /etc/hostname key",
        "mkdir key",
        "mkfifo key",
    ],
)
def test_what_is_no_worker_key_is_refused(tmp_path: Path, command: str) -> None:
    subprocess.run(command.split(), cwd=tmp_path, check=True, capture_output=True, timeout=20)
    (tmp_path / "key").chmod(0o600)
    with pytest.raises((AttestationError, InputError), match=os.fspath(tmp_path)):
        load_worker_key(tmp_path / "key")


def test_a_missing_key_says_how_to_create_one(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="farm worker init"):
        load_worker_key(tmp_path / "key")


@pytest.mark.parametrize("text", ["", "AAAA", "not base64", "MFkw\n", "é"])
def test_what_is_no_public_key_is_refused(text: str) -> None:
    with pytest.raises(AttestationError, match="no public key"):
        read_public_key(text)
