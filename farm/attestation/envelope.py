"""Signed statements: DSSE envelopes, made and verified by securesystemslib.

https://github.com/secure-systems-lab/dsse/blob/v1.0.2/envelope.md
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from farm.attestation.worker_key import fingerprint, read_public_key
from farm.errors import AttestationError
from farm.model import hex_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from securesystemslib.dsse import Envelope
    from securesystemslib.signer import Key

    from farm.attestation.worker_key import WorkerPrivateKey

# securesystemslib takes 90 ms to import: it is imported when an envelope is made or opened.

PAYLOAD_TYPE = "application/vnd.in-toto+json"
ENVELOPE_TYPE = "application/vnd.dsse.envelope.v1+json"
"""The media type of an envelope, and the type of the artifact that holds it in a registry."""
LARGEST_ENVELOPE = 256 << 10


def seal(statement: bytes, key: WorkerPrivateKey) -> bytes:
    """An envelope with a statement, signed with a worker's key; AttestationError if it is too large."""
    from securesystemslib.dsse import Envelope  # noqa: PLC0415 - see above
    from securesystemslib.signer import Signature  # noqa: PLC0415 - see above

    envelope, name = Envelope(statement, PAYLOAD_TYPE, {}), hex_of(key.fingerprint)
    envelope.signatures[name] = Signature(name, key.sign(envelope.pae()).hex())
    sealed = json.dumps(envelope.to_dict(), separators=(",", ":")).encode()
    if len(sealed) > LARGEST_ENVELOPE:
        raise AttestationError(f"an attestation has more than {LARGEST_ENVELOPE >> 10} KiB")
    return sealed


def open_envelope(envelope: bytes, keys: Iterable[str]) -> tuple[bytes, str]:
    """The statement in an envelope, and which of these public keys has signed it; one signature suffices.

    Raises:
        AttestationError: none of these keys has signed it, or it is no envelope of a statement.
    """
    from securesystemslib.exceptions import Error  # noqa: PLC0415 - see above
    from securesystemslib.signer import SSlibKey  # noqa: PLC0415 - see above

    known = {hex_of(fingerprint(key)): key for key in keys}
    opened = _read(envelope)
    # Only keys that claim to have signed are read: a policy may have hundreds.
    public: list[Key] = [
        SSlibKey.from_crypto(read_public_key(key), name)
        for name, key in known.items()
        if name in opened.signatures
    ]
    try:
        signers = opened.verify(public, 1) if public else {}
    except (Error, ValueError):
        signers = {}
    for name in signers:
        return opened.payload, known[name]
    raise AttestationError(
        "the statement about an image is not signed by a worker that may make it",
        hint="farm policy show lists the workers' keys",
    )


def _read(envelope: bytes) -> Envelope:
    from securesystemslib.dsse import Envelope  # noqa: PLC0415 - see above
    from securesystemslib.exceptions import Error  # noqa: PLC0415 - see above

    if len(envelope) <= LARGEST_ENVELOPE:
        try:
            opened = Envelope.from_dict(json.loads(envelope))
        except (Error, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise AttestationError("an attestation is not a signed envelope") from error
        if opened.payload_type == PAYLOAD_TYPE:
            return opened
    raise AttestationError("an attestation is not an envelope with a statement, or too large")
