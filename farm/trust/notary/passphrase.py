"""Where the passphrase of the signing key comes from."""

from __future__ import annotations

import shlex

from farm.errors import SettingsError, TrustDeniedError, TrustUnavailableError
from farm.settings import Secret
from farm.system.processes import excerpt, run

_SHOWN = 200


def passphrase_of(command: str, timeout: float) -> Secret:
    """The passphrase that a command prints, less one newline at its end.

    Args:
        command: a command line, split as a shell would, but run without one.
        timeout: seconds that it may take.

    Raises:
        SettingsError: the command line cannot be split.
        TrustDeniedError: it cannot be started, failed (what it says on standard error is shown), or
            printed no passphrase.
        TrustUnavailableError: it took too long; it is dead by then, with what it started.
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
        said = excerpt(done.stderr, _SHOWN) or "it says nothing"
        raise TrustDeniedError(
            f"the passphrase command {words[0]} ended with status {done.returncode}: {said}"
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


def _secret(printed: bytes, name: str) -> Secret:
    try:
        text = printed.decode().removesuffix("\n")
    except UnicodeDecodeError:
        # The cause would carry what was printed.
        raise TrustDeniedError(f"the passphrase command {name} prints something that is not UTF-8") from None
    if not text or "\n" in text:
        raise TrustDeniedError(f"the passphrase command {name} must print one line, the passphrase")
    return Secret(text)
