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
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, NamedTuple

from farm.errors import InputError, TrustDeniedError, TrustError
from farm.settings import Secret, environment
from farm.system.files import make_private
from farm.system.processes import DIE_WITH_PARENT, TIE_PROGRAM, decoded, run
from farm.system.programs import require
from farm.trust.notary.limits import TrustDeadline

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterable, Sequence

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


def openssl(
    arguments: Sequence[str], deadline: TrustDeadline, answers: Iterable[Secret] = ()
) -> subprocess.CompletedProcess[str]:
    """Run one openssl command; `-passin stdin`, then `-passout stdin`, each read one of the answers.

    Secrets go through stdin because other users can see command lines:
    https://docs.openssl.org/master/man1/openssl-passphrase-options/

    Raises:
        TrustUnavailableError: the deadline passed; the process has been killed.
        FarmError: openssl is not installed.
    """
    require("openssl", *TIE_PROGRAM)
    lines = "".join(f"{secret.reveal()}\n" for secret in answers)
    command = [*DIE_WITH_PARENT, "openssl", *arguments]
    limit, late, variables = deadline.left(), deadline.missed(), environment(["PATH"])
    return decoded(run(command, timeout=limit, late=late, given=lines.encode(), environment=variables))


def use_key(
    key: SigningKey,
    arguments: Sequence[str],
    deadline: TrustDeadline,
    *,
    option: str = "-in",
    scratch: Path | None = None,
    new_passphrase: Secret | None = None,
) -> str:
    """What an openssl command prints; it takes the file of the key with `option`.

    Raises:
        TrustDeniedError: the key cannot be read, or its passphrase is wrong.
    """
    # Without any line on stdin, openssl would fail on a key that is not encrypted.
    answers = [key.passphrase or Secret(secrets.token_hex(8)), *([new_passphrase] if new_passphrase else [])]
    with TemporaryDirectory(prefix="farm-", dir=scratch) as directory:
        source = str(_readable(key.path, Path(directory)))
        done = openssl([*arguments, option, source, "-passin", "stdin"], deadline, answers)
    if done.returncode == 0:
        return done.stdout
    if key.passphrase is None:
        raise TrustDeniedError(
            f"{key.path}: the signing key is encrypted, and its passphrase is not set",
            hint="set signing-passphrase-command, or FARM_SIGNING_PASSPHRASE",
        )
    raise TrustDeniedError(f"{key.path}: the passphrase of the signing key is wrong, or the file is damaged")


def _readable(path: Path, directory: Path) -> Path:
    """The key in a file that openssl can read: `path`, or a copy without the headers of notary and docker."""
    try:
        text = path.read_text("utf-8").replace("\r\n", "\n")
    except (OSError, UnicodeDecodeError) as error:
        raise TrustDeniedError(f"{path}: the signing key cannot be read: {error}") from error
    block = private_block(text)
    if block is None:
        raise TrustDeniedError(f"{path}: contains no private key in PEM")
    if block in text:
        return path
    # Notary and docker add headers to encrypted keys only, so the copy is never in the clear.
    copy = directory / "source.pem"
    copy.touch(mode=0o600)
    copy.write_text(block)
    return copy


def key_id(public: str) -> str:
    """The id of a public key in PEM: the sha256 of its canonical JSON, with `private` set to null.

    https://theupdateframework.github.io/specification/latest/#keyid, in notary's own form of the key:
    https://github.com/theupdateframework/notary/blob/v0.7.0/tuf/data/keys.go (TUFKey.ID)
    """
    der = _public_der(public)
    kind = next(name for oid, name in _ALGORITHMS.items() if oid in der[:32])
    canonical = {"keytype": kind, "keyval": {"private": None, "public": base64.b64encode(der).decode()}}
    return hashlib.sha256(json.dumps(canonical, separators=(",", ":")).encode()).hexdigest()


def _public_der(public: str) -> bytes:
    """The DER of a public key in PEM, of a kind that notary knows."""
    found = _PUBLIC.search(public)
    try:
        der = base64.b64decode("".join(found[1].split()) if found else "", validate=True)
    except binascii.Error as error:
        raise TrustError(f"not a public key in PEM: {error}") from error
    if not any(oid in der[:32] for oid in _ALGORITHMS):
        raise TrustError("the signing key is neither EC nor RSA", hint="make one with `farm trust key`")
    return der


def private_block(text: str) -> str | None:
    """The first private key of a PEM file, without notary's headers; None when there is none."""
    found = _PRIVATE.search(text)
    return _NOTARY_HEADER.sub("", found[0]) if found else None


def notary_block(block: str, role: str) -> str:
    """A PEM block with the header that tells notary for which role the key is."""
    first, rest = block.split("\n", 1)
    return f"{first}\nrole: {role}\n\n{rest}"


class StagedKey(NamedTuple):
    """A copy of the key for one use of the notary client."""

    file: Path
    """Named by the key's id, as the client finds it."""
    passphrase: Secret


def stage_key(key: SigningKey, trust_dir: Path, deadline: TrustDeadline) -> StagedKey:
    """Copy the key into a trust directory where the client does not look, under a new random passphrase.

    So only openssl sees the real passphrase, any key that openssl can read works, and nobody can open a copy
    that a killed process leaves behind.
    """
    staged = trust_dir / "staged"
    make_private(staged)
    passphrase, copy = Secret(secrets.token_hex(32)), staged / "copy.pem"
    arguments = ["pkcs8", "-topk8", *ENCRYPTION, "-passout", "stdin", "-out", str(copy)]
    use_key(key, arguments, deadline, scratch=staged, new_passphrase=passphrase)
    public = openssl(["pkey", "-in", str(copy), "-passin", "stdin", "-pubout"], deadline, [passphrase])
    copy.write_text(notary_block(copy.read_text("utf-8"), key.role))
    return StagedKey(copy.rename(staged / f"{key_id(public.stdout)}.key"), passphrase)


def give_key(staged: StagedKey, trust_dir: Path) -> None:
    """Move a staged key to where the client looks for it."""
    private = trust_dir / "private"
    make_private(private)
    staged.file.rename(private / staged.file.name)


def check_key(key: SigningKey, *, timeout: float) -> bytes:
    """Make sure that the key can be opened, before anything is built that it has to sign.

    A file that this process has opened with the same passphrase, and that is unchanged, is not opened again.

    Returns:
        Its public half, as the DER that each certificate of it contains.
    """
    return _public_half(key, _version(key.path), timeout)


@lru_cache(maxsize=1)
def _public_half(key: SigningKey, _version: tuple[int, ...], timeout: float) -> bytes:
    """The public half of the key in this version of its file; to derive the key of that takes 40 ms."""
    deadline = TrustDeadline.after(timeout, "opening the signing key")
    return _public_der(use_key(key, ["pkey", "-pubout"], deadline))


def _version(path: Path) -> tuple[int, ...]:
    """What is different after each change of a file; () if it cannot be read."""
    try:
        state = path.stat()
    except OSError:
        return ()
    return state.st_dev, state.st_ino, state.st_mtime_ns, state.st_ctime_ns, state.st_size


def certified_key_id(certificate: Path, deadline: TrustDeadline) -> str:
    """The id of the key in an X.509 certificate."""
    try:
        certificate.read_bytes()
    except OSError as error:
        raise InputError(f"{certificate}: the certificate cannot be read: {error.strerror}") from error
    public = openssl(["x509", "-in", str(certificate), "-pubkey", "-noout"], deadline)
    if public.returncode != 0:
        raise TrustError(f"{certificate}: contains no X.509 certificate in PEM")
    return key_id(public.stdout)
