"""Making the delegation key that publishers sign with."""

from __future__ import annotations

import secrets
import tempfile
from dataclasses import dataclass
from pathlib import Path

from farm.errors import InputError, TrustDeniedError, TrustError
from farm.settings import Secret
from farm.system.files import write_once
from farm.system.private_directories import make_private
from farm.trust.notary.deadline import Deadline
from farm.trust.notary.keys import ENCRYPTION, SigningKey, readable, wrong_passphrase_error
from farm.trust.notary.openssl import openssl

# Some 40 ms for each guess at the passphrase, and for each signing.
_ROUNDS = 100_000
_SHORTEST = 8
_DAYS = 3650


@dataclass(frozen=True, slots=True)
class DelegationKey:
    """The files of a delegation key: the key for publishers, its certificate for `farm trust init`."""

    key: Path
    certificate: Path


def generate_delegation_key(directory: Path, passphrase: Secret, *, timeout: float = 60.0) -> DelegationKey:
    """Make delegation.pem, an encrypted EC key, and its certificate delegation.crt.

    What exists is kept: a second call, or one after a kill, completes the pair and changes nothing else.

    Args:
        directory: where the files go; made if missing, for its owner alone.
        passphrase: what encrypts the key; 8 characters or more, else notary and docker refuse it.
        timeout: seconds that it may take.

    Raises:
        TrustDeniedError: the passphrase is too short, or a key is there already and has another.
        InputError: the directory cannot be made or written.
    """
    if len(passphrase.reveal()) < _SHORTEST:
        raise TrustDeniedError(f"the passphrase is too short: it must have {_SHORTEST} characters or more")
    deadline = Deadline.after(timeout, "making a delegation key")
    made = DelegationKey(directory / "delegation.pem", directory / "delegation.crt")
    try:
        make_private(directory)
        if not made.key.exists():
            write_once(made.key, _new_key(passphrase, deadline))
        if not made.certificate.exists():
            write_once(made.certificate, certificate_of(SigningKey(made.key, passphrase), deadline), 0o644)
    except OSError as error:
        raise InputError(
            f"{directory}: no key can be kept there: {error.strerror}",
            hint="name a directory that you may write",
        ) from error
    return made


def certificate_of(key: SigningKey, deadline: Deadline) -> str:
    """A self-signed certificate of the key, as PEM: what an administrator needs to allow it to sign.

    Raises:
        TrustDeniedError: the key cannot be read, or its passphrase is wrong.
    """
    about = ["-days", str(_DAYS), "-subj", "/CN=LinuxKit farm delegation"]
    answers = [key.passphrase or Secret(secrets.token_hex(8))]
    with tempfile.TemporaryDirectory(prefix="farm-") as own, readable(key.path, Path(own)) as source:
        options = ["-x509", "-new", "-sha256", "-key", str(source), "-passin", "stdin", *about]
        made = openssl(["req", *options], deadline, answers)
    if made.returncode != 0:
        raise wrong_passphrase_error(key)
    return made.stdout


def _new_key(passphrase: Secret, deadline: Deadline) -> str:
    curve = ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-aes-256-cbc", "-pass", "stdin"]
    with tempfile.TemporaryDirectory(prefix="farm-") as directory:
        first = str(Path(directory, "first.pem"))
        openssl(["genpkey", *curve, "-out", first], deadline, [passphrase])
        options = ["-topk8", "-in", first, "-passin", "stdin", "-passout", "stdin", "-iter", str(_ROUNDS)]
        made = openssl(["pkcs8", *options, *ENCRYPTION], deadline, [passphrase, passphrase])
    if made.returncode != 0:
        raise TrustError("openssl could not make a delegation key", hint="it must be version 1.1.1 or later")
    return made.stdout
