"""The site's own certificate authority, and a certificate for each service."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from farm.errors import FarmError
from farm.system.files import write_once
from farm.system.processes import excerpt
from farm.trust.notary.keys import openssl
from farm.trust.notary.limits import TrustDeadline

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from farm.settings import Secret

CA_DAYS = 3650
DAYS = 825
"""Validity of a service's certificate; some clients refuse a longer one."""
_ADDRESS = re.compile(r"\d+\.\d+\.\d+\.\d+")
_TIMEOUT = 60.0


def make_ca(directory: Path, name: str) -> list[Path]:
    """Make ca.key and ca.crt if they are missing; returns what was made."""
    made = make_key(directory / "ca.key")
    certificate = directory / "ca.crt"
    if not certificate.exists():
        about = ["-subj", f"/CN=Farm CA of {name}", "-days", str(CA_DAYS), "-key", str(directory / "ca.key")]
        usage = ["-addext", "keyUsage=critical,keyCertSign,cRLSign"]
        basic = ["-addext", "basicConstraints=critical,CA:TRUE,pathlen:0"]
        write_once(certificate, _openssl("req", "-x509", "-new", "-sha256", *about, *usage, *basic))
        made.append(certificate)
    return made


def make_certificate(directory: Path, service: str, names: Iterable[str]) -> list[Path]:
    """Make SERVICE.key and SERVICE.crt if they are missing: for these names, as server and as client.

    The common name is the service's: the database identifies its clients by it.
    """
    key, certificate = directory / f"{service}.key", directory / f"{service}.crt"
    made = make_key(key)
    if not certificate.exists():
        ca = ["-CA", str(directory / "ca.crt"), "-CAkey", str(directory / "ca.key")]
        about = ["-subj", f"/CN={service}", "-days", str(DAYS), "-key", str(key)]
        extensions = [word for line in _extensions(names) for word in ("-addext", line)]
        write_once(certificate, _openssl("req", "-x509", "-new", "-sha256", *ca, *about, *extensions))
        made.append(certificate)
    return made


def _extensions(names: Iterable[str]) -> list[str]:
    kinds = [f"{'IP' if _ADDRESS.fullmatch(name) else 'DNS'}:{name}" for name in names]
    return [
        f"subjectAltName={','.join(kinds)}",
        "extendedKeyUsage=serverAuth,clientAuth",
        "basicConstraints=critical,CA:FALSE",
        "keyUsage=critical,digitalSignature",
    ]


def make_key(path: Path, passphrase: Secret | None = None) -> list[Path]:
    """Make an ECDSA key on P-256 in PKCS#8 if it is missing, encrypted if there is a passphrase."""
    if path.exists():
        return []
    words = ["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"]
    encrypted = ["-aes-256-cbc", "-pass", "stdin"] if passphrase else []
    write_once(path, _openssl(*words, *encrypted, passphrase=passphrase))
    return [path]


def public_key(path: Path, passphrase: Secret | None = None) -> str:
    """The public half of a key, in PEM."""
    opened = ["-passin", "stdin"] if passphrase else []
    return _openssl("pkey", "-in", str(path), *opened, "-pubout", passphrase=passphrase)


def _openssl(*words: str, passphrase: Secret | None = None) -> str:
    deadline = TrustDeadline.after(_TIMEOUT, f"openssl {words[0]}")
    done = openssl(words, deadline, [passphrase] if passphrase else [])
    if done.returncode:
        raise FarmError(f"`openssl {words[0]}` failed: {excerpt(done.stderr, 300)}")
    return done.stdout
