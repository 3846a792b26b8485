"""The delegation key that signs: check that it opens, copy it for the notary client, compute its id.

Notary keeps private keys as PKCS#8 in PEM (RFC 5958, RFC 7468), encrypted by PBES2 (RFC 8018), with the PEM
headers `role` and `gun`: https://github.com/theupdateframework/notary/blob/v0.7.0/tuf/utils/x509.go
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import re
import secrets
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from farm.errors import InputError, TrustDeniedError, TrustError
from farm.settings import Secret
from farm.system.private_directories import make_private
from farm.trust.notary.deadline import TrustDeadline
from farm.trust.notary.openssl import openssl

if TYPE_CHECKING:
    from collections.abc import Iterator


_PRIVATE = re.compile(r"-----BEGIN ([A-Z ]*PRIVATE KEY)-----\n.*?-----END \1-----\n?", re.DOTALL)
_PUBLIC = re.compile(r"-----BEGIN PUBLIC KEY-----\n(.*?)-----END PUBLIC KEY-----", re.DOTALL)
_NOTARY_HEADER = re.compile(r"^(?:role|gun|path): .*\n+", re.MULTILINE)
# The algorithms that notary knows, by the DER of their object identifiers: id-ecPublicKey
# (https://www.rfc-editor.org/rfc/rfc5480#section-2.1.1) and rsaEncryption
# (https://www.rfc-editor.org/rfc/rfc8017#appendix-C).
_ALGORITHMS = {
    bytes.fromhex("06072a8648ce3d0201"): "ecdsa",
    bytes.fromhex("06092a864886f70d010101"): "rsa",
}
# HMAC-SHA1 is the default of PBKDF2, and the only function that notary can read: its pbkdf2Params have no
# field for another one. OpenSSL's own default is HMAC-SHA256.
# https://www.rfc-editor.org/rfc/rfc8018#appendix-A.2
# https://github.com/theupdateframework/notary/blob/v0.7.0/tuf/utils/pkcs8.go
ENCRYPTION = ("-v2", "aes-256-cbc", "-v2prf", "hmacWithSHA1")


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A delegation key: its PEM file, its passphrase (None for none), and the role for which it signs."""

    path: Path
    passphrase: Secret | None
    role: str = "targets/releases"

    @property
    def passphrase_line(self) -> Secret:
        """What openssl reads from stdin: without any line, it would fail on a key that is not encrypted."""
        return self.passphrase or Secret(secrets.token_hex(8))


def key_id(public: str) -> str:
    """The id of a key: the sha256 of its canonical JSON, with `private` set to null.

    https://theupdateframework.github.io/specification/latest/#keyid, in notary's own form of the key:
    https://github.com/theupdateframework/notary/blob/v0.7.0/tuf/data/keys.go (TUFKey.ID)

    Args:
        public: the public key as PEM, such as openssl prints it.

    Raises:
        TrustError: it is neither an EC nor an RSA key.
    """
    found = _PUBLIC.search(public)
    body = "".join(found[1].split()) if found else ""
    try:
        der = base64.b64decode(body, validate=True)
    except binascii.Error as error:
        raise TrustError(f"not a public key in PEM: {error}") from error
    kind = next((name for oid, name in _ALGORITHMS.items() if oid in der[:32]), None)
    if kind is None:
        raise TrustError("the signing key is neither EC nor RSA", hint="make one with `farm trust key`")
    canonical = {"keytype": kind, "keyval": {"private": None, "public": body}}
    return hashlib.sha256(json.dumps(canonical, separators=(",", ":")).encode()).hexdigest()


def private_block(text: str) -> str | None:
    """The first private key of a PEM file, without notary's headers; None when there is none."""
    found = _PRIVATE.search(text)
    return _NOTARY_HEADER.sub("", found[0]) if found else None


def notary_block(block: str, role: str) -> str:
    """A PEM block with the header that tells notary for which role the key is."""
    first, rest = block.split("\n", 1)
    return f"{first}\nrole: {role}\n\n{rest}"


def stage_key(key: SigningKey, trust_dir: Path, deadline: TrustDeadline) -> Secret:
    """Copy the key into a trust directory, encrypted with a new random passphrase.

    So only openssl sees the real passphrase, any key that openssl can read works, and nobody can open a copy
    that a killed process leaves behind.

    Returns:
        The passphrase of the copy.

    Raises:
        TrustDeniedError: the key cannot be read, or its passphrase is wrong.
    """
    private = trust_dir / "private"
    make_private(private)
    passphrase = Secret(secrets.token_hex(32))
    with readable(key.path, private) as source:
        copy = private / "copy.pem"
        options = ["-topk8", "-in", str(source), "-passin", "stdin", "-passout", "stdin", "-out", str(copy)]
        answers = [key.passphrase_line, passphrase]
        if openssl(["pkcs8", *options, *ENCRYPTION], deadline, answers).returncode != 0:
            raise wrong_passphrase_error(key)
    public = openssl(["pkey", "-in", str(copy), "-passin", "stdin", "-pubout"], deadline, [passphrase])
    copy.write_text(notary_block(copy.read_text(), key.role))
    copy.rename(private / f"{key_id(public.stdout)}.key")
    return passphrase


def check_key(key: SigningKey, *, timeout: float) -> None:
    """Make sure that the key can be opened, before anything is built that it has to sign.

    Raises:
        TrustDeniedError: the key cannot be read, or its passphrase is wrong.
    """
    deadline = TrustDeadline.after(timeout, "opening the signing key")
    with TemporaryDirectory(prefix="farm-") as scratch, readable(key.path, Path(scratch)) as source:
        options = ["-in", str(source), "-passin", "stdin", "-noout"]
        if openssl(["pkey", *options], deadline, [key.passphrase_line]).returncode != 0:
            raise wrong_passphrase_error(key)


def certified_key_id(certificate: Path, deadline: TrustDeadline) -> str:
    """The id of the key in an X.509 certificate.

    Raises:
        InputError: the file cannot be read.
        TrustError: it contains no certificate in PEM, or its key is neither EC nor RSA.
    """
    try:
        certificate.read_bytes()
    except OSError as error:
        raise InputError(f"{certificate}: the certificate cannot be read: {error.strerror}") from error
    public = openssl(["x509", "-in", str(certificate), "-pubkey", "-noout"], deadline)
    if public.returncode != 0:
        raise TrustError(f"{certificate}: contains no X.509 certificate in PEM")
    return key_id(public.stdout)


@contextmanager
def readable(path: Path, directory: Path) -> Iterator[Path]:
    """The key in a file that openssl can read: `path`, or a copy without the headers of notary and docker.

    Raises:
        TrustDeniedError: the file cannot be read, or contains no private key.
    """
    try:
        text = path.read_text().replace("\r\n", "\n")
    except (OSError, UnicodeDecodeError) as error:
        raise TrustDeniedError(f"{path}: the signing key cannot be read: {error}") from error
    block = private_block(text)
    if block is None:
        raise TrustDeniedError(f"{path}: contains no private key in PEM")
    if block in text:
        yield path
        return
    # Notary and docker add headers to encrypted keys only, so the copy is never in the clear.
    source = directory / "source.pem"
    source.touch(mode=0o600)
    source.write_text(block)
    try:
        yield source
    finally:
        source.unlink()


def wrong_passphrase_error(key: SigningKey) -> TrustDeniedError:
    """The error for a key that openssl cannot open."""
    if key.passphrase is None:
        return TrustDeniedError(
            f"{key.path}: the signing key is encrypted, and its passphrase is not set",
            hint="set signing-passphrase-command, or FARM_SIGNING_PASSPHRASE",
        )
    return TrustDeniedError(f"{key.path}: the passphrase of the signing key is wrong, or the file is damaged")
