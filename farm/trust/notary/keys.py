"""The delegation key that signs: opened with its passphrase, lent to notary, described by a certificate."""

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
from farm.trust.notary.deadline import Deadline
from farm.trust.notary.openssl import openssl

if TYPE_CHECKING:
    from collections.abc import Iterator


_PRIVATE = re.compile(r"-----BEGIN ([A-Z ]*PRIVATE KEY)-----\n.*?-----END \1-----\n?", re.DOTALL)
_PUBLIC = re.compile(r"-----BEGIN PUBLIC KEY-----\n(.*?)-----END PUBLIC KEY-----", re.DOTALL)
_NOTARY_HEADER = re.compile(r"^(?:role|gun|path): .*\n+", re.MULTILINE)
# The algorithms that notary knows, by their object identifiers in DER.
_ALGORITHMS = {
    bytes.fromhex("06072a8648ce3d0201"): "ecdsa",
    bytes.fromhex("06092a864886f70d010101"): "rsa",
}
# Notary 0.7 reads PBKDF2 with this function only; openssl's own default is another.
ENCRYPTION = ("-v2", "aes-256-cbc", "-v2prf", "hmacWithSHA1")


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A delegation key: its PEM file, its passphrase (None when it has none), the role that it signs for."""

    path: Path
    passphrase: Secret | None
    role: str = "targets/releases"


def key_id(public: str) -> str:
    """The name that notary gives to a key.

    Args:
        public: the public key as PEM, such as openssl prints it.

    Raises:
        TrustError: it is no key of a kind that notary knows, EC or RSA.
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
    described = {"keytype": kind, "keyval": {"private": None, "public": body}}
    return hashlib.sha256(json.dumps(described, separators=(",", ":")).encode()).hexdigest()


def private_block(text: str) -> str | None:
    """The first private key of a PEM file without the headers that notary adds; None when there is none."""
    found = _PRIVATE.search(text)
    return _NOTARY_HEADER.sub("", found[0]) if found else None


def notary_block(block: str, role: str) -> str:
    """A PEM block with the header by which notary knows what the key is for."""
    first, rest = block.split("\n", 1)
    return f"{first}\nrole: {role}\n\n{rest}"


def stage_key(key: SigningKey, trust_dir: Path, deadline: Deadline) -> Secret:
    """Give a trust directory its own copy of the key, locked with a passphrase that is made for it alone.

    So the real passphrase is known to openssl only, whatever openssl can read will do, and a copy that a
    killed process leaves behind opens to nobody.

    Returns:
        The passphrase of the copy.

    Raises:
        TrustDeniedError: the key cannot be read, or its passphrase is wrong.
    """
    private = trust_dir / "private"
    make_private(private)
    once = Secret(secrets.token_hex(32))
    with readable(key.path, private) as source:
        copy = private / "copy.pem"
        options = ["-topk8", "-in", str(source), "-passin", "stdin", "-passout", "stdin", "-out", str(copy)]
        answers = [key.passphrase or Secret(secrets.token_hex(8)), once]
        if openssl(["pkcs8", *options, *ENCRYPTION], deadline, answers).returncode != 0:
            raise wrong_passphrase_error(key)
    shown = openssl(["pkey", "-in", str(copy), "-passin", "stdin", "-pubout"], deadline, [once])
    copy.write_text(notary_block(copy.read_text(), key.role))
    copy.rename(private / f"{key_id(shown.stdout)}.key")
    return once


def check_key(key: SigningKey, *, timeout: float) -> None:
    """Make sure that the key is there and opens, before anything is built that it shall sign.

    Raises:
        TrustDeniedError: the key cannot be read, or its passphrase is wrong.
    """
    deadline = Deadline.after(timeout, "opening the signing key")
    with TemporaryDirectory(prefix="farm-") as own, readable(key.path, Path(own)) as source:
        answers = [key.passphrase or Secret(secrets.token_hex(8))]
        if openssl(["pkey", "-in", str(source), "-passin", "stdin", "-noout"], deadline, answers).returncode:
            raise wrong_passphrase_error(key)


def certified_key_id(certificate: Path, deadline: Deadline) -> str:
    """The name that notary gives to the key of an X.509 certificate.

    Raises:
        InputError: the file cannot be read.
        TrustError: it holds no certificate in PEM, or one of a key that notary does not know.
    """
    try:
        certificate.read_bytes()
    except OSError as error:
        raise InputError(f"{certificate}: the certificate cannot be read: {error.strerror}") from error
    shown = openssl(["x509", "-in", str(certificate), "-pubkey", "-noout"], deadline)
    if shown.returncode != 0:
        raise TrustError(f"{certificate}: holds no X.509 certificate in PEM")
    return key_id(shown.stdout)


@contextmanager
def readable(path: Path, directory: Path) -> Iterator[Path]:
    """The key in a file that openssl can read: it stumbles over the headers that notary and docker add.

    Raises:
        TrustDeniedError: the file cannot be read, or holds no private key.
    """
    try:
        text = path.read_text().replace("\r\n", "\n")
    except (OSError, UnicodeDecodeError) as error:
        raise TrustDeniedError(f"{path}: the signing key cannot be read: {error}") from error
    block = private_block(text)
    if block is None:
        raise TrustDeniedError(f"{path}: holds no private key in PEM")
    if block in text:
        yield path
        return
    # Notary and docker put their headers on encrypted keys only, so no copy is ever in the clear.
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
            f"{key.path}: the signing key is encrypted, and no passphrase is set",
            hint="set signing-passphrase-command, or FARM_SIGNING_PASSPHRASE",
        )
    return TrustDeniedError(f"{key.path}: the passphrase of the signing key is wrong, or the file is damaged")
