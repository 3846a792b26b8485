"""What somebody with a login that may push can plant beside an index: none of it counts as signed."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from farm.errors import TrustError
from farm.model import digest_of
from farm.registry.oci import OCI_INDEX
from farm.trust.cosign.attachments import SIGNATURES
from farm.trust.cosign.configure import private_key
from farm.trust.cosign.payload import payload_of
from lab.images import push_bytes
from tests.support.cosign import Published, run

if TYPE_CHECKING:
    from farm.trust.cosign.key_files import CosignKeyPair


@pytest.mark.parametrize("kind", ["none", "of another tag"])
def test_a_signature_that_names_no_tag_or_another_one_signs_no_tag(published: Published, kind: str) -> None:
    """So nobody can move a tag to an older index, which the farm signed under its own tag."""
    annotations = ["-a", "tag=v0"] if kind == "of another tag" else []
    options = ["--key", str(published.keys.key), "--tlog-upload=false", "--yes", *annotations]
    assert run("sign", *options, published.by_digest).returncode == 0
    assert published.verify().returncode == 0
    assert published.signed().tags == {}


def test_a_signature_of_another_key_is_none(published: Published, other_keys: CosignKeyPair) -> None:
    published.signer(cosign_key=other_keys.key).sign([published.target()])
    assert (published.is_signed(), published.verify().returncode == 0) == (False, False)


def test_the_signatures_of_another_index_sign_nothing_here(published: Published) -> None:
    """An attacker who may push copies the manifest of signatures, and moves the tag to another index."""
    published.signer().sign([published.target()])
    copied = published.stored()
    foreign = published.repository.push_index(published.repository.push("arm64"))
    attacked = replace(published, index=foreign)
    attacked.plant(copied)
    assert (attacked.signed().tags, attacked.verify().returncode == 0) == ({}, False)


def test_a_signature_for_another_repository_does_not_sign_the_same_digest_here(published: Published) -> None:
    """cosign takes it, since it looks at the digest alone; the farm does not."""
    elsewhere = published.reference.name.replace("/foo", "/bar")
    published.signer().sign([published.target()])
    payload = payload_of(published.target()._replace(name=elsewhere))
    published.plant_signature(payload, private_key(published.settings()).sign(payload))
    assert published.verify().returncode == 0
    assert published.signed().tags == {}


def test_a_changed_payload_is_not_signed(published: Published) -> None:
    published.signer().sign([published.target("old")])
    honest = published.stored()
    payload = published.repository.registry.blob(published.reference, honest["layers"][0]["digest"])
    tag = str(published.reference.tag)
    changed = payload.replace(b":old", f":{tag}".encode()).replace(b'"old"', f'"{tag}"'.encode())
    assert changed != payload
    honest["layers"][0] |= {"digest": digest_of(changed), "size": len(changed)}
    push_bytes(published.repository.registry, published.reference, changed)
    published.plant(honest)
    assert (published.signed().tags, published.verify().returncode == 0) == ({}, False)


def test_an_index_in_place_of_the_signatures_signs_nothing_and_is_reported_in_one_line(
    published: Published,
) -> None:
    published.plant({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": []}, OCI_INDEX)
    _is_refused(published)


def test_more_signatures_than_cosign_reads_sign_nothing_and_are_reported_in_one_line(
    published: Published,
) -> None:
    published.signer().sign([published.target()])
    honest = published.stored()
    published.plant(honest | {"layers": honest["layers"] * 1001})
    _is_refused(published)


def _is_refused(published: Published) -> None:
    """Nothing is signed, nor overwritten: what is there is of somebody else."""
    found = published.signed()
    assert (found.tags, "\n" in str(found.refusal)) == ({}, False)
    assert "remove that tag, and sign again" in str(found.refusal)
    with pytest.raises(TrustError, match="holds no signatures that can be read"):
        published.signer().sign([published.target()])


def test_layers_that_cannot_be_signatures_do_not_keep_the_farm_from_signing(published: Published) -> None:
    """A large payload that claims to be small, a signature that is no base64, none, another media type."""
    payload = payload_of(published.target())
    published.plant_signature(payload, b"no signature")
    (layer,) = published.stored()["layers"]
    large = b" " * (SIGNATURES.largest + 1)
    push_bytes(published.repository.registry, published.reference, large)
    annotations = layer["annotations"]
    published.plant(
        published.stored()
        | {
            "layers": [
                layer | {"digest": digest_of(large)},
                layer | {"annotations": dict.fromkeys(annotations, "***")},
                {name: layer[name] for name in ("mediaType", "digest", "size")},
                layer | {"mediaType": "application/octet-stream"},
            ]
        }
    )
    assert (published.signed().tags, published.signed().refusal) == ({}, None)
    published.signer().sign([published.target()])
    assert (published.is_signed(), published.verify().returncode) == (True, 0)
    assert len(published.stored()["layers"]) == 5
