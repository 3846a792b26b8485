"""Notary servers, keys and directories, as the settings name them."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from farm.errors import TrustDeniedError
from farm.model import DEFAULT_REGISTRY
from farm.settings import DEFAULT_NOTARY, Settings
from farm.trust.notary.client import NotaryServer
from farm.trust.notary.keys import SigningKey
from farm.trust.notary.passphrase import passphrase_of

if TYPE_CHECKING:
    from pathlib import Path


def notary_server(settings: Settings, gun: str) -> NotaryServer:
    """The notary server for a GUN, as docker finds it.

    It is `notary-server` if that is set; else Docker's for docker.io, and the registry's own host for any
    other registry. The CA is `notary-ca`, or like the client certificate the one in docker's tls/HOST:
    https://github.com/docker/cli/blob/v28.5.2/cli/trust/trust.go (Server, certificateDirectory)
    """
    registry = gun.partition("/")[0]
    at_registry = settings.notary_server == DEFAULT_NOTARY and registry != DEFAULT_REGISTRY
    url = f"https://{registry}" if at_registry else settings.notary_server.rstrip("/")
    tls = settings.docker_config / "tls" / urlsplit(url).netloc
    ca = settings.notary_ca or _present(tls / "ca.crt")
    certificate, key = _present(tls / "client.cert"), _present(tls / "client.key")
    client = (certificate, key) if certificate and key else None
    return NotaryServer(url, settings.state_dir / "trust", ca, client)


def signing_key(settings: Settings) -> SigningKey:
    """The key with which this publisher signs; runs the passphrase command if one is set.

    Raises:
        TrustDeniedError: no key is configured, or the passphrase command failed.
        TrustUnavailableError: the passphrase command took too long.
    """
    if settings.signing_key is None:
        raise TrustDeniedError(
            "no signing key is set", hint="set signing-key, or publish without signatures: --no-sign"
        )
    passphrase = settings.signing_passphrase
    if passphrase is None and settings.signing_passphrase_command:
        passphrase = passphrase_of(settings.signing_passphrase_command, settings.trust_timeout)
    return SigningKey(settings.signing_key, passphrase, settings.signing_role)


def admin_trust_dir(settings: Settings) -> Path:
    """The directory in which docker keeps the administrator's root and targets keys."""
    return settings.docker_config / "trust"


def _present(path: Path) -> Path | None:
    return path if path.is_file() else None
