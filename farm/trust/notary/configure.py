"""Notary servers, keys, passphrases and directories, as the settings name them."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from farm.errors import SettingsError, TrustDeniedError, TrustUnavailableError
from farm.model import DEFAULT_REGISTRY
from farm.settings import DEFAULT_NOTARY, Secret, Settings
from farm.system.processes import excerpt, run
from farm.trust.notary.client import NotaryServer
from farm.trust.notary.keys import SigningKey

if TYPE_CHECKING:
    from pathlib import Path

    from farm.registry.credentials import Login

_STDERR_SHOWN = 200
"""Characters of standard error in a message."""


def notary_server(settings: Settings, gun: str, login: Login | None = None) -> NotaryServer:
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
    work = settings.state_dir / "trust"
    return NotaryServer(url, work, ca, client, login, timeout=settings.trust_timeout)


def signing_key(settings: Settings) -> SigningKey:
    """The key with which this publisher signs; runs the passphrase command if one is set."""
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


def passphrase_of(command: str, timeout: float) -> Secret:
    """The passphrase that a command line prints; it is split as by a shell, but runs without one."""
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise SettingsError(f"signing-passphrase-command: {error}") from None
    if not words:
        raise SettingsError("signing-passphrase-command: is empty")
    about = f"the passphrase command {words[0]}"
    late = TrustUnavailableError(f"{about} did not end within {timeout:g} s")
    try:
        done = run(words, timeout=timeout, late=late, own_session=True)
    except OSError as error:
        raise TrustDeniedError(
            f"{about} cannot be started: {error.strerror}", hint="see signing-passphrase-command"
        ) from error
    if done.returncode:
        said = excerpt(done.stderr, _STDERR_SHOWN) or "it printed no error"
        raise TrustDeniedError(f"{about} failed with status {done.returncode}: {said}")
    try:
        text = done.stdout.decode().removesuffix("\n")
    except UnicodeDecodeError:
        # No cause: it would carry the output.
        raise TrustDeniedError(f"{about} prints text that is not UTF-8") from None
    if not text or "\n" in text:
        raise TrustDeniedError(f"{about} must print one line, the passphrase")
    return Secret(text)
