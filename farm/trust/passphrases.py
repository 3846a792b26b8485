"""Passphrases of signing keys: set, or printed by a command."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from farm.errors import SettingsError, TrustDeniedError, TrustUnavailableError
from farm.settings import Secret
from farm.system.processes import excerpt, run

if TYPE_CHECKING:
    from farm.settings import Settings

_STDERR_SHOWN = 200
"""Characters of standard error in a message."""


def passphrase_of(settings: Settings, own: Secret | None) -> Secret | None:
    """A key's own passphrase if it is set, else what the passphrase command prints, else None."""
    if own is None and settings.signing_passphrase_command:
        return passphrase_printed_by(settings.signing_passphrase_command, settings.trust_timeout)
    return own


def passphrase_printed_by(command: str, timeout: float) -> Secret:
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
