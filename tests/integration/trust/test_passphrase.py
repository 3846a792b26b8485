"""The passphrase command, with real processes."""

from __future__ import annotations

import shlex
import time
import traceback
from pathlib import Path

import pytest

from farm.errors import SettingsError, TrustDeniedError, TrustUnavailableError
from farm.settings import Secret
from farm.trust.passphrases import passphrase_printed_by


def shell(script: str) -> str:
    return shlex.join(["sh", "-c", script])


def test_one_trailing_newline_is_not_part_of_the_passphrase() -> None:
    assert passphrase_printed_by("echo 'open sesame '", 10) == Secret("open sesame ")
    assert passphrase_printed_by("printf sesame", 10) == Secret("sesame")


def test_the_error_of_a_failed_command_shows_stderr_but_not_stdout() -> None:
    with pytest.raises(TrustDeniedError, match="status 3: vault is sealed") as caught:
        passphrase_printed_by(shell("echo half-a-secret; echo vault is sealed >&2; exit 3"), 10)
    text = "".join(traceback.format_exception(caught.value)).replace(shell(""), "")
    assert "half-a-secret" not in text.split("TrustDeniedError")[-1]


def test_a_command_that_takes_too_long_is_killed_with_its_children(tmp_path: Path) -> None:
    begun = time.monotonic()
    with pytest.raises(TrustUnavailableError, match=r"within 0\.3 s") as caught:
        passphrase_printed_by(shell(f"echo half-a-secret; sleep 100 & echo $! > {tmp_path}/child; wait"), 0.3)
    assert time.monotonic() - begun < 5
    assert caught.value.__cause__ is None
    child = Path("/proc", (tmp_path / "child").read_text().strip(), "stat")
    gone = time.monotonic() + 5
    while child.exists() and child.read_text().split()[2] != "Z":
        assert time.monotonic() < gone


@pytest.mark.parametrize("script", ["true", "echo; echo two", "printf '\\377'"])
def test_output_that_is_not_a_passphrase_is_refused(script: str) -> None:
    with pytest.raises(TrustDeniedError):
        passphrase_printed_by(shell(script), 10)


def test_a_missing_command_names_the_setting() -> None:
    with pytest.raises(TrustDeniedError, match="signing-passphrase-command"):
        passphrase_printed_by("/nonexistent/command", 10)


@pytest.mark.parametrize("command", ["", "echo 'open"])
def test_a_command_line_that_cannot_be_split_is_an_invalid_setting(command: str) -> None:
    with pytest.raises(SettingsError, match="signing-passphrase-command"):
        passphrase_printed_by(command, 10)
