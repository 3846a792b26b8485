"""Notary servers, keys, passphrases and directories, as the settings name them."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from farm.errors import TrustDeniedError
from farm.model import DEFAULT_REGISTRY
from farm.trust.notary.client import NotaryServer
from farm.trust.notary.keys import SigningKey
from farm.trust.passphrases import passphrase_of

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from farm.registry.credentials import Login
    from farm.settings import Settings

AT_REGISTRY = "registry"
"""The value of `notary-server` that means the host of each registry."""
_SET_SERVER = "set notary-server to the URL of yours"
_MAKE_KEY = "farm trust init makes one for signing-key"


def notary_server(settings: Settings, gun: str, login: Login | None = None) -> NotaryServer:
    """The notary server for a GUN, as docker finds it.

    It is `notary-server`; the word `registry` means the registry's own host, as in docker. The CA is
    `notary-ca`, or like the client certificate the one in docker's tls/HOST:
    https://github.com/docker/cli/blob/v28.5.2/cli/trust/trust.go (Server, certificateDirectory)

    Raises:
        TrustDeniedError: none is set, or docker.io has none of its own.
    """
    registry, configured = gun.partition("/")[0], require_server(settings)
    if configured == AT_REGISTRY and registry == DEFAULT_REGISTRY:
        raise TrustDeniedError(f"{registry} has no notary server, for {gun}", hint=_SET_SERVER)
    url = f"https://{registry}" if configured == AT_REGISTRY else configured.rstrip("/")
    tls = settings.docker_config / "tls" / urlsplit(url).netloc
    ca = settings.notary_ca or _present(tls / "ca.crt")
    certificate, key = _present(tls / "client.cert"), _present(tls / "client.key")
    client = (certificate, key) if certificate and key else None
    work = settings.state_dir / "trust"
    return NotaryServer(url, work, pins_file(settings), ca, client, login, timeout=settings.trust_timeout)


def pins_file(settings: Settings) -> Path:
    """The file of the pinned root keys: `trust-pins`, else beside the administrator's keys."""
    return settings.trust_pins or admin_trust_dir(settings) / "pins.yml"


def require_settings(settings: Settings, guns: Iterable[str], *, to_sign: bool) -> None:
    """Make sure that a server is set for each GUN, and `to_sign`, a key that can be read."""
    if to_sign and settings.notary_server is None and settings.signing_key is None:
        raise TrustDeniedError(
            "neither a notary server nor a signing key is set",
            hint="farm trust init makes a key for notary, farm trust key --cosign DIRECTORY one for cosign, "
            "which needs no server; or add --no-sign",
        )
    for gun in guns:
        notary_server(settings, gun)
    if to_sign:
        require_signing_key(settings)


def require_server(settings: Settings) -> str:
    """The value of `notary-server`; there is no default, because Docker's own server was shut down."""
    if settings.notary_server is None:
        raise TrustDeniedError("no notary server is set", hint=f"{_SET_SERVER}, or add --no-sign")
    return settings.notary_server


def require_signing_key(settings: Settings) -> Path:
    """The file of the key with which this publisher signs."""
    if settings.signing_key is None:
        raise TrustDeniedError("no signing key is set", hint=f"{_MAKE_KEY}; or add --no-sign")
    if not os.access(settings.signing_key, os.R_OK):
        raise TrustDeniedError(
            f"{settings.signing_key}: the signing key cannot be read",
            hint=f"correct signing-key; {_MAKE_KEY}; or add --no-sign",
        )
    return settings.signing_key


def signing_key(settings: Settings) -> SigningKey:
    """The key with which this publisher signs; runs the passphrase command if one is set."""
    path = require_signing_key(settings)
    passphrase = passphrase_of(settings, settings.signing_passphrase)
    return SigningKey(path, passphrase, settings.signing_role)


def admin_trust_dir(settings: Settings) -> Path:
    """The directory in which docker keeps the administrator's root and targets keys."""
    return settings.docker_config / "trust"


def _present(path: Path) -> Path | None:
    return path if path.is_file() else None
