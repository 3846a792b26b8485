"""Making the delegation key with which publishers sign, and the root key that certifies it."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from farm.errors import InputError, TrustDeniedError, TrustError
from farm.system.files import make_private, write_once
from farm.trust.notary.admin_keys import private_directory_of
from farm.trust.notary.keys import ENCRYPTION, SigningKey, key_id, notary_block, openssl, use_key
from farm.trust.notary.limits import TrustDeadline

if TYPE_CHECKING:
    from farm.settings import Secret

# Rounds of PBKDF2: about 40 ms for each guess at the passphrase, and for each signing.
_ROUNDS = 100_000
# https://github.com/theupdateframework/notary/blob/v0.7.0/passphrase/passphrase.go
_SHORTEST = 8
_DAYS = 3650


@dataclass(frozen=True, slots=True)
class DelegationKey:
    """The files of a delegation key: the key for publishers, its certificate for `farm trust init`."""

    key: Path
    certificate: Path


def generate_delegation_key(directory: Path, passphrase: Secret, *, timeout: float = 60.0) -> DelegationKey:
    """Make delegation.pem, an encrypted EC key, and its certificate delegation.crt.

    Existing files are kept: a second call, or one after a kill, completes the pair and changes nothing else.
    The directory is created if missing. Notary and docker refuse passphrases of fewer than 8 characters.

    Raises:
        TrustDeniedError: the passphrase is too short, or a key exists already and has another passphrase.
        InputError: the directory cannot be created or written.
    """
    _refuse_short(passphrase)
    deadline = TrustDeadline.after(timeout, "making a delegation key")
    files = DelegationKey(directory / "delegation.pem", directory / "delegation.crt")
    try:
        make_private(directory)
        if not files.key.exists():
            write_once(files.key, _new_key(passphrase, deadline))
        if not files.certificate.exists():
            write_once(files.certificate, certificate_of(SigningKey(files.key, passphrase), deadline), 0o644)
    except OSError as error:
        raise InputError(
            f"{directory}: the key cannot be written there: {error.strerror}",
            hint="name a directory that you may write to",
        ) from error
    return files


def generate_root_key(trust_dir: Path, passphrase: Secret, deadline: TrustDeadline) -> str:
    """Make a root key in a trust directory, as notary does; returns its id.

    The farm makes it, and not notary with the first name: so it can be pinned before a server is asked.
    """
    _refuse_short(passphrase)
    private, new = private_directory_of(trust_dir), _new_key(passphrase, deadline)
    with tempfile.TemporaryDirectory(prefix="farm-") as directory:
        file = Path(directory, "new.pem")
        write_once(file, new)
        name = key_id(use_key(SigningKey(file, passphrase), ["pkey", "-pubout"], deadline))
    write_once(private / f"{name}.key", notary_block(new, "root"))
    return name


def _refuse_short(passphrase: Secret) -> None:
    if len(passphrase.reveal()) < _SHORTEST:
        raise TrustDeniedError(f"the passphrase is too short: it must have {_SHORTEST} characters or more")


def certificate_of(key: SigningKey, deadline: TrustDeadline) -> str:
    """A self-signed certificate of the key, as PEM: the form in which `notary delegation add` takes keys.

    https://docs.docker.com/engine/security/trust/trust_delegation/
    """
    content = ["-days", str(_DAYS), "-subj", "/CN=LinuxKit farm delegation"]
    return use_key(key, ["req", "-x509", "-new", "-sha256", *content], deadline, option="-key")


def _new_key(passphrase: Secret, deadline: TrustDeadline) -> str:
    curve = ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-aes-256-cbc", "-pass", "stdin"]
    with tempfile.TemporaryDirectory(prefix="farm-") as directory:
        # `genpkey` cannot choose the key derivation that notary reads, `pkcs8` can.
        source = str(Path(directory, "source.pem"))
        openssl(["genpkey", *curve, "-out", source], deadline, [passphrase])
        options = ["-topk8", "-in", source, "-passin", "stdin", "-passout", "stdin", "-iter", str(_ROUNDS)]
        result = openssl(["pkcs8", *options, *ENCRYPTION], deadline, [passphrase, passphrase])
    if result.returncode != 0:
        raise TrustError("openssl cannot make a delegation key", hint="install openssl 1.1.1 or later")
    return result.stdout
