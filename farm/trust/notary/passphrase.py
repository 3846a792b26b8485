"""The command that prints the passphrase of the signing key."""

from __future__ import annotations

import shlex

from farm.errors import SettingsError, TrustDeniedError, TrustUnavailableError
from farm.settings import Secret
from farm.system.processes import excerpt, run

_STDERR_SHOWN = 200
"""Characters of standard error in a message."""


def passphrase_of(command: str, timeout: float) -> Secret:
    """The passphrase that a command prints, without the newline at its end.

    Args:
        command: a command line, split as by a shell, but run without one.
        timeout: seconds that it may take.

    Raises:
        SettingsError: the command line cannot be split.
        TrustDeniedError: the command cannot be started, failed (the message shows its standard error), or
            printed no passphrase.
        TrustUnavailableError: it took too long; it has been killed with its children.
    """
    words = _split(command)
    late = TrustUnavailableError(f"the passphrase command {words[0]} did not end within {timeout:g} s")
    try:
        done = run(words, timeout=timeout, late=late, own_session=True)
    except OSError as error:
        raise TrustDeniedError(
            f"the passphrase command {words[0]} cannot be started: {error.strerror}",
            hint="see signing-passphrase-command",
        ) from error
    if done.returncode:
        said = excerpt(done.stderr, _STDERR_SHOWN) or "it printed no error"
        raise TrustDeniedError(
            f"the passphrase command {words[0]} failed with status {done.returncode}: {said}"
        )
    return _secret(done.stdout, words[0])


def _split(command: str) -> list[str]:
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise SettingsError(f"signing-passphrase-command: {error}") from None
    if not words:
        raise SettingsError("signing-passphrase-command: is empty")
    return words


def _secret(output: bytes, name: str) -> Secret:
    try:
        text = output.decode().removesuffix("\n")
    except UnicodeDecodeError:
        # No cause: it would carry the output.
        raise TrustDeniedError(f"the passphrase command {name} prints text that is not UTF-8") from None
    if not text or "\n" in text:
        raise TrustDeniedError(f"the passphrase command {name} must print one line, the passphrase")
    return Secret(text)
