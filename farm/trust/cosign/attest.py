"""Attestations: in-toto statements about an image, in DSSE envelopes that the farm's key signs.

https://github.com/sigstore/cosign/blob/v2.5.0/specs/ATTESTATION_SPEC.md
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from securesystemslib.dsse import Envelope
from securesystemslib.signer import Signature

from farm.errors import TrustError
from farm.model.digests import hex_of
from farm.trust.cosign.attachments import (
    ATTESTATIONS,
    SIGNATURE,
    Attachment,
    Attachments,
    attach,
    contents_of,
)

if TYPE_CHECKING:
    from farm.model import Reference
    from farm.registry.client import Registry
    from farm.trust.cosign.keys import PrivateKey, PublicKey

_IN_TOTO = "application/vnd.in-toto+json"
_PREDICATE = "predicateType"
"""The annotation by which cosign finds an attestation of a type, and the field of the statement."""
_SLACK = 64
"""Bytes by which two envelopes of one statement differ at most: a signature's length is not fixed."""


def attest(registry: Registry, reference: Reference, digest: str, statement: bytes, key: PrivateKey) -> None:
    """Attach a statement about the image with this digest, signed; a repetition changes nothing.

    Args:
        registry: the client of the image's registry.
        reference: any reference of the image's repository.
        digest: the image, or index, which must be a subject of the statement.
        statement: an in-toto Statement in JSON, byte by byte what is signed.
        key: the farm's key.

    Raises:
        TrustError: it is no statement about this image, or what is attached there cannot be read.
    """
    predicate = _predicate_of(statement, digest)
    envelope = _signed(statement, key)

    def missing(found: Attachments) -> list[Attachment]:
        similar = [layer for layer in found.layers if _is_similar(layer, predicate, len(envelope))]
        public = key.public
        if any(_holds(entry.content, statement, public) for entry in contents_of(registry, found, similar)):
            return []
        return [Attachment(envelope, {SIGNATURE: "", _PREDICATE: predicate})]

    attach(registry, reference.with_digest(digest), ATTESTATIONS, missing)


def _predicate_of(statement: bytes, digest: str) -> str:
    """The type of a statement's predicate, if it is about this image."""
    try:
        data = json.loads(statement)
        subjects = {subject["digest"].get("sha256") for subject in data["subject"]}
        predicate = data[_PREDICATE]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        subjects, predicate = set(), None
    if hex_of(digest) not in subjects or not isinstance(predicate, str):
        raise TrustError(f"not attested: the statement is not an in-toto statement about {digest}")
    return predicate


def _signed(statement: bytes, key: PrivateKey) -> bytes:
    envelope = Envelope(statement, _IN_TOTO, {})
    # Without a key id, as cosign: the verifier has one key, and tries it.
    envelope.signatures[""] = Signature("", key.sign(envelope.pae()).hex())
    return json.dumps(envelope.to_dict()).encode()


def _is_similar(layer: dict[str, Any], predicate: str, size: int) -> bool:
    named = (layer.get("annotations") or {}).get(_PREDICATE)
    return bool(named == predicate and abs(layer["size"] - size) < _SLACK)


def _holds(content: bytes, statement: bytes, public: PublicKey) -> bool:
    """Whether an envelope holds exactly this statement, signed by the key."""
    try:
        envelope = Envelope.from_dict(json.loads(content))
        signatures = [bytes.fromhex(one.signature) for one in envelope.signatures.values()]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return False
    is_same = (envelope.payload, envelope.payload_type) == (statement, _IN_TOTO)
    return is_same and any(public.verifies(one, envelope.pae()) for one in signatures)
