"""The key with which a worker attests its images: ECDSA on P-256, in a file that only the worker may read."""

from __future__ import annotations

import base64
import os
import stat
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from farm.errors import AttestationError, InputError
from farm.model import digest_of
from farm.system.files import make_private, write_once

if TYPE_CHECKING:
    from pathlib import Path

    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey, EllipticCurvePublicKey

# cryptography takes 30 ms to import: it is imported when a key is used.

_OTHERS = stat.S_IRWXG | stat.S_IRWXO
_LARGEST_KEY = 1 << 14
"""Bytes of a file that may be a key."""


@dataclass(frozen=True, slots=True, repr=False)
class WorkerPrivateKey:
    """A worker's key; its representation shows nothing of it."""

    secret: EllipticCurvePrivateKey

    @property
    def public(self) -> str:
        """The public key as the policy names it: base64 of a DER SubjectPublicKeyInfo."""
        return _text_of(self.secret.public_key())

    @property
    def fingerprint(self) -> str:
        """The digest of the public key."""
        return fingerprint(self.public)

    def sign(self, content: bytes) -> bytes:
        """A signature of these bytes: ECDSA with SHA-256, as DER."""
        from cryptography.hazmat.primitives.asymmetric.ec import ECDSA  # noqa: PLC0415 - see above
        from cryptography.hazmat.primitives.hashes import SHA256  # noqa: PLC0415 - see above

        return self.secret.sign(content, ECDSA(SHA256()))


def create_worker_key(path: Path) -> str:
    """Create a key file with mode 0600, and return its public key.

    Raises:
        InputError: there is a file, which is kept; or it cannot be written.
    """
    from cryptography.hazmat.primitives import serialization  # noqa: PLC0415 - see above
    from cryptography.hazmat.primitives.asymmetric import ec  # noqa: PLC0415 - see above

    secret = ec.generate_private_key(ec.SECP256R1())
    pem = secret.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    try:
        make_private(path.parent)
        write_once(path, pem.decode())
    except OSError as error:
        raise InputError(
            f"{path}: the key cannot be written: {error.strerror}",
            hint="name a file that you may create with --worker-key",
        ) from error
    made = load_worker_key(path).public
    if made != _text_of(secret.public_key()):
        raise InputError(f"{path}: exists, and is not replaced", hint="remove it first, or name another file")
    return made


def load_worker_key(path: Path) -> WorkerPrivateKey:
    """Read a key file.

    Raises:
        InputError: there is no such file.
        AttestationError: others may read it, or it holds no unencrypted ECDSA key on P-256.
    """
    return WorkerPrivateKey(_private_key(path, _read(path)))


def read_public_key(text: str) -> EllipticCurvePublicKey:
    """The key in base64 of its DER; AttestationError if it is none on P-256, or is written differently."""
    key = _public_key(text)
    if key is None:
        raise AttestationError(
            f"{text[:40]}...: no public key of a worker", hint="farm worker init prints the worker's own"
        )
    return key


def fingerprint(public: str) -> str:
    """The digest of a public key: sha256 over its DER; it names the key in envelopes and statements."""
    read_public_key(public)
    return digest_of(base64.b64decode(public))


@lru_cache(maxsize=1024)
def _public_key(text: str) -> EllipticCurvePublicKey | None:
    from cryptography.exceptions import UnsupportedAlgorithm  # noqa: PLC0415 - see above
    from cryptography.hazmat.primitives.asymmetric import ec  # noqa: PLC0415 - see above
    from cryptography.hazmat.primitives.serialization import load_der_public_key  # noqa: PLC0415 - see above

    try:
        key = load_der_public_key(base64.b64decode(text, validate=True))
    except (ValueError, UnsupportedAlgorithm):
        return None
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        return None
    return key if _text_of(key) == text else None


def _text_of(key: EllipticCurvePublicKey) -> str:
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat  # noqa: PLC0415 - see above

    der = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return base64.b64encode(der).decode()


def _private_key(path: Path, pem: bytes) -> EllipticCurvePrivateKey:
    from cryptography.exceptions import UnsupportedAlgorithm  # noqa: PLC0415 - see above
    from cryptography.hazmat.primitives.asymmetric import ec  # noqa: PLC0415 - see above
    from cryptography.hazmat.primitives.serialization import load_pem_private_key  # noqa: PLC0415 - see above

    try:
        key = load_pem_private_key(pem, None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        key = None
    if isinstance(key, ec.EllipticCurvePrivateKey) and isinstance(key.curve, ec.SECP256R1):
        return key
    raise AttestationError(
        f"{path}: no ECDSA key on P-256 without a passphrase",
        hint="remove it and run `farm worker init`, or name another file with worker-key",
    )


def _read(path: Path) -> bytes:
    # What is opened is what is checked, and a FIFO blocks nothing.
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as file:
            found = os.fstat(descriptor)
            if not stat.S_ISREG(found.st_mode) or found.st_size > _LARGEST_KEY:
                raise AttestationError(f"{path}: no key, but something else")
            if found.st_mode & _OTHERS:
                raise AttestationError(
                    f"{path}: the worker's key is open to others (mode {stat.S_IMODE(found.st_mode):04o})",
                    hint=f"chmod 600 {path}, and make a new key if others have read it",
                )
            return file.read(_LARGEST_KEY)
    except OSError as error:
        raise InputError(
            f"{path}: the worker's key cannot be read: {error.strerror}", hint="farm worker init creates it"
        ) from error
