"""Statements that the farm signs, and that cosign verifies with the farm's public key."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING

import pytest

from farm.errors import TrustError
from farm.model.digests import hex_of
from farm.trust.cosign.attachments import ATTESTATIONS
from farm.trust.cosign.attest import attest
from farm.trust.cosign.configure import private_key
from tests.support.cosign import UNLOGGED, run

if TYPE_CHECKING:
    from pathlib import Path

    from farm.trust.cosign.key_files import CosignKeyPair
    from tests.support.cosign import Published

SLSA = "https://slsa.dev/provenance/v1"


def statement(digest: str, builder: str = "arm64@rack3", predicate_type: str = SLSA) -> bytes:
    """SLSA provenance."""
    data = {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": "foo", "digest": {"sha256": hex_of(digest)}}],
        "predicateType": predicate_type,
        "predicate": {
            "buildDefinition": {"buildType": "https://example.org/build", "externalParameters": {}},
            "runDetails": {"builder": {"id": builder}},
        },
    }
    return json.dumps(data).encode()


def attested(published: Published, public: Path, predicate_type: str = "slsaprovenance1") -> list[str]:
    """The builders in the statements that cosign verifies."""
    options = ["--type", predicate_type, "--key", str(public), UNLOGGED]
    done = run("verify-attestation", *options, published.by_digest)
    envelopes = [json.loads(line) for line in done.stdout.splitlines()]
    statements = [json.loads(base64.b64decode(one["payload"])) for one in envelopes]
    return [one["predicate"]["runDetails"]["builder"]["id"] for one in statements]


def add(published: Published, text: bytes) -> None:
    key = private_key(published.settings())
    attest(published.repository.registry, published.reference, published.index.digest, text, key)


def test_cosign_verifies_what_the_farm_attests_and_a_repetition_changes_nothing(published: Published) -> None:
    add(published, statement(published.index.digest))
    before = published.stored(ATTESTATIONS)
    add(published, statement(published.index.digest))
    assert published.stored(ATTESTATIONS) == before
    add(published, statement(published.index.digest, "arm64@rack4"))
    assert attested(published, published.keys.public) == ["arm64@rack3", "arm64@rack4"]
    (annotations, _) = (layer["annotations"] for layer in published.stored(ATTESTATIONS)["layers"])
    assert annotations["predicateType"] == SLSA


def test_attestations_of_others_stay_beside_the_farms_in_either_order(
    published: Published, other_keys: CosignKeyPair, tmp_path: Path
) -> None:
    (tmp_path / "predicate.json").write_text(json.dumps(json.loads(statement("sha256:"))["predicate"]))
    options = ["--key", str(other_keys.key), "--tlog-upload=false", "--yes", "--type", SLSA]
    theirs = ["attest", *options, "--predicate", str(tmp_path / "predicate.json"), published.by_digest]
    assert run(*theirs).returncode == 0
    add(published, statement(published.index.digest, "ours"))
    assert run(*theirs).returncode == 0
    assert attested(published, published.keys.public) == ["ours"]
    assert attested(published, other_keys.public) == ["arm64@rack3"] * 2


@pytest.mark.parametrize("text", [statement(f"sha256:{'0' * 64}"), b"[]", b"{}", b"{", b'{"subject": [3]}'])
def test_the_farm_attests_nothing_that_is_not_a_statement_about_the_image(
    published: Published, text: bytes
) -> None:
    with pytest.raises(TrustError, match=f"not an in-toto statement about {published.index.digest}"):
        add(published, text)
    assert published.stored(ATTESTATIONS) == {}
