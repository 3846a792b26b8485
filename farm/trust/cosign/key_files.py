"""Private keys as `cosign generate-key-pair` writes them, and in PKCS#8: opened, and made.

cosign.key is PEM around JSON: the PKCS#8 key in a NaCl secretbox whose key scrypt makes from the passphrase.
https://github.com/secure-systems-lab/go-securesystemslib/blob/v0.9.0/encrypted/encrypted.go
"""

from __future__ import annotations

import base64
import functools
import hashlib
import json
import re
import secrets
import textwrap
from typing import TYPE_CHECKING, NamedTuple

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_der_private_key,
    load_pem_private_key,
)

from farm.errors import FarmError, InputError, TrustDeniedError
from farm.system.files import make_private, write_once
from farm.trust.cosign.keys import KeyInMemory

if TYPE_CHECKING:
    from pathlib import Path

    from nacl.secret import SecretBox

    from farm.settings import Secret

_LABEL = "ENCRYPTED SIGSTORE PRIVATE KEY"
_ENCRYPTED = re.compile(
    rf"-----BEGIN ({_LABEL}|ENCRYPTED COSIGN PRIVATE KEY)-----\n(.*?)-----END \1-----", re.DOTALL
)
_SCRYPT = {"N": 1 << 16, "r": 8, "p": 1}
"""The parameters of cosign: 64 MB and a fifth of a second for each guess at the passphrase."""
_MOST_MEMORY = 300 << 20
"""Bytes that the parameters in a file may ask for."""
_NONCE = 24


class CosignKeyPair(NamedTuple):
    """The files of a key pair: the key for publishers, the public key for everybody."""

    key: Path
    public: Path


@functools.lru_cache(maxsize=4)
def open_key(text: str, passphrase: Secret | None, source: str) -> KeyInMemory:
    """The private key in a PEM text; an opened one is remembered, since scrypt takes long by design.

    Raises:
        TrustDeniedError: there is none, or the passphrase is missing or wrong; it names the source.
    """
    try:
        if found := _ENCRYPTED.search(text):
            key = load_der_private_key(_decrypted(found[2], passphrase), None)
        else:
            key = load_pem_private_key(text.encode(), _needed(text, passphrase))
    except (ValueError, TypeError, KeyError, UnsupportedAlgorithm):
        # No cause: it may carry a part of the key.
        raise _unopened(text, passphrase, source) from None
    if isinstance(key, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey):
        return KeyInMemory(key)
    raise TrustDeniedError(f"{source}: the cosign key is neither ECDSA, RSA nor Ed25519")


def generate_key_pair(directory: Path, passphrase: Secret) -> CosignKeyPair:
    """Make cosign.key, an encrypted ECDSA key, and cosign.pub, which the cosign program reads, too.

    Existing files are kept: a second call, or one after a kill, completes the pair and changes nothing else.
    The directory is created if missing.

    Raises:
        TrustDeniedError: a key exists already, and has another passphrase.
        InputError: the directory cannot be created or written.
    """
    files = CosignKeyPair(directory / "cosign.key", directory / "cosign.pub")
    try:
        make_private(directory)
        if not files.key.exists():
            write_once(files.key, _new_key(passphrase))
        if not files.public.exists():
            key = open_key(files.key.read_text("utf-8"), passphrase, str(files.key))
            write_once(files.public, key.public.pem, 0o644)
    except OSError as error:
        raise InputError(
            f"{directory}: the key cannot be written there: {error.strerror}",
            hint="name a directory that you may write to",
        ) from error
    return files


def _unopened(text: str, passphrase: Secret | None, source: str) -> TrustDeniedError:
    if "PRIVATE KEY-----" not in text:
        return TrustDeniedError(f"{source}: contains no private key in PEM")
    if "ENCRYPTED" in text and passphrase is None:
        return TrustDeniedError(
            f"{source}: the cosign key is encrypted, and its passphrase is not set",
            hint="set FARM_COSIGN_PASSWORD, or signing-passphrase-command",
        )
    return TrustDeniedError(f"{source}: the passphrase of the cosign key is wrong, or the key is damaged")


def _needed(text: str, passphrase: Secret | None) -> bytes | None:
    """The passphrase if the key is encrypted: one for a key in the clear is an error to the library."""
    return passphrase.reveal().encode() if passphrase and "ENCRYPTED" in text else None


def _decrypted(body: str, passphrase: Secret | None) -> bytes:
    data = json.loads(base64.b64decode(body))
    kdf, cipher = data["kdf"], data["cipher"]
    if (kdf["name"], cipher["name"]) != ("scrypt", "nacl/secretbox"):
        raise ValueError("unknown encryption")
    box = _box(passphrase, _bytes(kdf["salt"]), kdf["params"])
    from nacl.exceptions import CryptoError  # noqa: PLC0415 - see `_box`

    try:
        return box.decrypt(_bytes(data["ciphertext"]), _bytes(cipher["nonce"]))
    except CryptoError as error:
        raise ValueError("wrong passphrase") from error


def _bytes(text: str) -> bytes:
    return base64.b64decode(text)


def _new_key(passphrase: Secret) -> str:
    made = ec.generate_private_key(ec.SECP256R1())
    plain = made.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    salt, nonce = secrets.token_bytes(32), secrets.token_bytes(_NONCE)
    sealed = _box(passphrase, salt, _SCRYPT).encrypt(plain, nonce).ciphertext
    salt_text, nonce_text, sealed_text = (base64.b64encode(one).decode() for one in (salt, nonce, sealed))
    data = {
        "kdf": {"name": "scrypt", "params": _SCRYPT, "salt": salt_text},
        "cipher": {"name": "nacl/secretbox", "nonce": nonce_text},
        "ciphertext": sealed_text,
    }
    body = base64.b64encode(json.dumps(data, separators=(",", ":")).encode()).decode()
    return "\n".join([f"-----BEGIN {_LABEL}-----", *textwrap.wrap(body, 64), f"-----END {_LABEL}-----", ""])


def _box(passphrase: Secret | None, salt: bytes, cost: dict[str, int]) -> SecretBox:
    try:
        from nacl.secret import SecretBox  # noqa: PLC0415 - it has no wheel for some architectures
    except ImportError:
        raise FarmError(
            "an encrypted cosign.key needs the Python package PyNaCl, which is not installed",
            hint="pip install PyNaCl, or use a key in PKCS#8",
        ) from None
    # A key may be encrypted with an empty passphrase, as cosign does when COSIGN_PASSWORD is empty.
    word = passphrase.reveal().encode() if passphrase else b""
    n, r, p = cost["N"], cost["r"], cost["p"]
    return SecretBox(hashlib.scrypt(word, salt=salt, n=n, r=r, p=p, maxmem=_MOST_MEMORY, dklen=32))
