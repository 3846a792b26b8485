"""The command that prints the passphrase of the signing key."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
from contextlib import suppress

from farm.errors import SettingsError, TrustDeniedError, TrustUnavailableError
from farm.settings import Secret

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
    try:
        status, output, stderr = _run(words, timeout)
    except OSError as error:
        raise TrustDeniedError(
            f"the passphrase command {words[0]} cannot be started: {error.strerror}",
            hint="see signing-passphrase-command",
        ) from error
    except subprocess.TimeoutExpired:
        # No cause: it would carry the output.
        raise TrustUnavailableError(
            f"the passphrase command {words[0]} did not end within {timeout:g} s"
        ) from None
    if status != 0:
        said = " ".join(stderr.decode(errors="replace").split())[-_STDERR_SHOWN:] or "it printed no error"
        raise TrustDeniedError(f"the passphrase command {words[0]} failed with status {status}: {said}")
    return _secret(output, words[0])


def _split(command: str) -> list[str]:
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise SettingsError(f"signing-passphrase-command: {error}") from None
    if not words:
        raise SettingsError("signing-passphrase-command: is empty")
    return words


def _run(words: list[str], timeout: float) -> tuple[int, bytes, bytes]:
    with subprocess.Popen(
        words,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    ) as process:
        try:
            output, stderr = process.communicate(timeout=timeout)
        except BaseException:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            raise
    return process.returncode, output, stderr


def _secret(output: bytes, name: str) -> Secret:
    try:
        text = output.decode().removesuffix("\n")
    except UnicodeDecodeError:
        # No cause: it would carry the output.
        raise TrustDeniedError(f"the passphrase command {name} prints text that is not UTF-8") from None
    if not text or "\n" in text:
        raise TrustDeniedError(f"the passphrase command {name} must print one line, the passphrase")
    return Secret(text)
