"""cosign and notary together: a tag is signed only where both signed the same digest."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from farm.errors import TrustDeniedError
from farm.settings import Secret

if TYPE_CHECKING:
    from pathlib import Path

    from farm.trust.notary.client import NotaryServer
    from lab.lab import Lab
    from tests.integration.trust.conftest import Initialise
    from tests.support.cosign import Published


def test_a_tag_is_signed_once_both_signed_it_and_a_disagreement_names_both_digests(
    lab: Lab, published: Published, initialise: Initialise, server: NotaryServer, tmp_path: Path
) -> None:
    name, tag = published.reference.name, str(published.reference.tag)
    initialise(name)
    notary = {
        "notary_server": lab.notary_url,
        "notary_ca": lab.notary_ca,
        "signing_key": lab.signing_key,
        "signing_passphrase": Secret(lab.signing_passphrase),
        "state_dir": tmp_path,
        "trust_pins": server.pins,
    }
    both, cosign = published.signer(**notary), published.signer()
    cosign.sign([published.target()])
    assert both.signed([published.reference])[name].tags == {}
    both.ready([published.reference])
    both.sign([published.target()])
    found = both.signed([published.reference])[name]
    assert (found.tags[tag].digest, found.warnings, found.refusal) == (published.index.digest, (), None)

    later = replace(published, index=published.repository.push_index(published.repository.push("arm64")))
    overwritten = both.signed([published.reference])[name]
    assert (overwritten.tags, overwritten.warnings) == ({}, ())
    assert [one.digest for one in overwritten.partial[tag]] == [published.index.digest]
    cosign.sign([later.target()])
    (warning,) = (found := both.signed([published.reference])[name]).warnings
    assert found.tags == {}
    assert f"cosign signed {later.index.digest}, notary signed {published.index.digest}" in warning
    both.sign([later.target()])
    assert both.signed([published.reference])[name].tags[tag].digest == later.index.digest
    with pytest.raises(TrustDeniedError, match="passphrase of the cosign key is wrong"):
        published.signer(**notary, cosign_password=Secret("wrong")).ready([published.reference])
