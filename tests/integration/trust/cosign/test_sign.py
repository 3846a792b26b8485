"""What the farm signs the real cosign verifies, and the other way round."""

from __future__ import annotations

import json
import shlex
from typing import TYPE_CHECKING

from farm.registry.oci import OCI_INDEX
from farm.trust.cosign.attachments import SIGNATURES, Attachment, Attachments, attach, contents_of
from tests.support.cosign import UNLOGGED, run

if TYPE_CHECKING:
    from farm.trust.cosign.key_files import CosignKeyPair
    from tests.support.cosign import Published


def test_what_the_farm_signs_cosign_verifies_and_everybody_with_the_public_key_sees(
    published: Published,
) -> None:
    assert not published.is_signed()
    published.signer().ready([published.reference])
    published.signer().sign([published.target()._replace(claims=(("order", "sha256:1"),))])
    assert published.is_signed()
    (payload,) = json.loads(published.verify().stdout)
    assert payload["critical"]["identity"]["docker-reference"] == str(published.reference)
    assert payload["critical"]["image"]["docker-manifest-digest"] == published.index.digest
    assert payload["optional"] == {"order": "sha256:1", "tag": published.reference.tag}
    assert published.verify(str(published.reference)).returncode == 0


def test_signing_again_changes_nothing_and_a_release_of_the_same_index_joins_its_signatures(
    published: Published,
) -> None:
    published.signer().sign([published.target()])
    before = published.stored()
    published.signer().sign([published.target()])
    assert published.stored() == before
    published.repository.registry.put_manifest(
        published.reference.with_tag("v1"),
        OCI_INDEX,
        published.repository.registry.existing(published.reference).body,
    )
    tag = str(published.reference.tag)
    assert published.signed(tag, "v1", "no-such-tag").tags.keys() == {tag}
    published.signer().sign([published.target(), published.target("v1")])
    assert published.signed(tag, "v1").tags.keys() == {tag, "v1"}
    assert published.stored()["layers"][:-1] == before["layers"]


def test_the_printed_command_makes_a_signature_that_the_farm_reads(
    published: Published,
) -> None:
    program, *words = shlex.split(published.signer().command_line(published.target()))
    assert (program, run(*words).returncode) == ("cosign", 0)
    assert published.is_signed()


def test_signatures_of_others_stay_beside_the_farms_in_either_order(
    published: Published, other_keys: CosignKeyPair
) -> None:
    """The others sign with the program, and the farm's manifest passes through its hands."""
    others = ["sign", "--key", str(other_keys.key), "--tlog-upload=false", "--yes", published.by_digest]
    assert run(*others, "-a", "when=before").returncode == 0
    published.signer().sign([published.target()])
    assert run(*others, "-a", "when=after").returncode == 0
    assert (published.is_signed(), published.verify().returncode) == (True, 0)
    theirs = run("verify", "--key", str(other_keys.public), UNLOGGED, published.by_digest)
    assert {one["optional"]["when"] for one in json.loads(theirs.stdout)} == {"before", "after"}


def test_a_signature_that_another_one_adds_meanwhile_is_not_lost(
    published: Published, other_keys: CosignKeyPair
) -> None:
    """As while a slow KMS makes the farm's signature."""
    theirs = ["--key", str(other_keys.key), "--tlog-upload=false", "--yes", published.by_digest]
    added: list[int] = []

    def missing(found: Attachments) -> list[Attachment]:
        if not added:
            added.append(run("sign", *theirs).returncode)
        contents = [one.content for one in contents_of(published.repository.registry, found)]
        return [] if b"{}" in contents else [Attachment(b"{}", {})]

    image = published.reference.with_digest(published.index.digest)
    attach(published.repository.registry, image, SIGNATURES, missing)
    verified = run("verify", "--key", str(other_keys.public), UNLOGGED, published.by_digest)
    assert (added, verified.returncode, len(published.stored()["layers"])) == ([0], 0, 2)


def test_an_index_is_found_by_the_referrers_of_oci_1_1_too(published: Published) -> None:
    published.signer().sign([published.target()])
    stored = published.stored()
    assert stored["subject"]["digest"] == published.index.digest
    assert stored["artifactType"] == "application/vnd.dev.cosign.artifact.sig.v1+json"
    experimental = ["verify", "--experimental-oci11", "--key", str(published.keys.public), UNLOGGED]
    assert run(*experimental, published.by_digest).returncode == 0
