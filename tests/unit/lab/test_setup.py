"""`make setup` does nothing twice, and says plainly where it cannot help."""

from __future__ import annotations

import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from lab import machine, qemu, setup, venv
from lab.machine import ARCHES, SetupError

if TYPE_CHECKING:
    from pathlib import Path


def _set_up() -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "lab.setup"]
    return subprocess.run(command, cwd=machine.ROOT, capture_output=True, text=True, check=False)


def test_the_second_time_it_reports_in_a_second_that_there_is_nothing_to_do() -> None:
    _set_up()
    begun = time.monotonic()
    done = _set_up()
    assert (done.returncode, done.stdout, done.stderr) == (0, "set-up: nothing to do\n", "")
    assert time.monotonic() - begun < 1.0


def test_a_system_that_is_not_like_debian_is_told_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(setup, "OS_RELEASE", tmp_path / "os-release")
    (tmp_path / "os-release").write_text('ID=linuxmint\nID_LIKE="ubuntu debian"\n')
    setup.check_system()
    (tmp_path / "os-release").write_text('ID="fedora"\nVERSION_ID=42\n')
    with pytest.raises(SetupError, match=r"neither Debian nor Ubuntu; install what .*docker-registry"):
        setup.check_system()


def test_a_command_that_fails_is_named_with_its_status_and_its_last_lines() -> None:
    script = "for n in 1 2 3 4 5 6 7 8 9; do echo line $n; done; exit 7"
    with pytest.raises(SetupError, match=r"(?s)exit 7` failed with status 7:\n    line 2.*line 9$"):
        machine.run(["sh", "-c", script])
    with pytest.raises(SetupError, match="`no-such-program` did not run"):
        machine.run(["no-such-program"])


def test_a_new_pyproject_or_another_path_makes_the_environment_stale(tmp_path: Path) -> None:
    assert venv.is_fresh()
    (tmp_path / "pyproject.toml").write_text("[project]\n")
    assert not venv.is_fresh(project=tmp_path / "pyproject.toml")
    (tmp_path / "moved").symlink_to(venv.VENV)
    assert not venv.is_fresh(tmp_path / "moved")


def test_the_native_architecture_is_not_emulated() -> None:
    assert set(qemu.foreign()) == ARCHES.keys() - {machine.native()}
