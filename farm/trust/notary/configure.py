"""From the settings to what signing and verifying take."""

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
    """The notary server that answers for a GUN, as docker finds it.

    That is the one which is set; else Docker's for docker.io, and for any other registry its own host.
    The CA is the one which is set; else, like a client's certificate, the one that docker keeps for the host.
    """
    registry = gun.partition("/")[0]
    usual = settings.notary_server == DEFAULT_NOTARY and registry != DEFAULT_REGISTRY
    url = f"https://{registry}" if usual else settings.notary_server.rstrip("/")
    kept = settings.docker_config / "tls" / urlsplit(url).netloc
    ca = settings.notary_ca or _present(kept / "ca.crt")
    certificate, key = _present(kept / "client.cert"), _present(kept / "client.key")
    client = (certificate, key) if certificate and key else None
    return NotaryServer(url, settings.state_dir / "trust", ca, client)


def signing_key(settings: Settings) -> SigningKey:
    """The key that this publisher signs with; the passphrase command is run for its passphrase.

    Raises:
        TrustDeniedError: no key is configured, or the passphrase command failed.
        TrustUnavailableError: the passphrase command took too long.
    """
    if settings.signing_key is None:
        raise TrustDeniedError(
            "no key to sign with is configured", hint="set signing-key, or publish without: --no-sign"
        )
    passphrase = settings.signing_passphrase
    if passphrase is None and settings.signing_passphrase_command:
        passphrase = passphrase_of(settings.signing_passphrase_command, settings.trust_timeout)
    return SigningKey(settings.signing_key, passphrase, settings.signing_role)


def admin_trust_dir(settings: Settings) -> Path:
    """Where docker keeps the administrator's root and targets keys."""
    return settings.docker_config / "trust"


def _present(path: Path) -> Path | None:
    return path if path.is_file() else None
