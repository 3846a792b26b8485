"""`farm worker init`: one key for each worker, and the command that makes others trust it."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

import pytest

from farm.attestation.worker_key import load_worker_key
from farm.cli import main

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where a worker's key is by default."""
    monkeypatch.setenv("FARM_STATE_DIR", str(tmp_path / "state"))
    return tmp_path / "state" / "worker-key.pem"


def test_a_key_is_created_once_and_the_policys_command_printed_each_time(
    key: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["worker", "init", "--name", "rack 3", "--arch", "arm64,amd64"]
    assert main.run(words) == 0
    first, made = capsys.readouterr().out, key.read_bytes()
    public = load_worker_key(key).public
    command = [
        "farm",
        "policy",
        "add",
        "worker",
        "rack 3",
        "--arch",
        "arm64",
        "--arch",
        "amd64",
        "--key",
        public,
    ]
    assert shlex.split(first.splitlines()[-1]) == command
    assert public in first.splitlines()
    assert "PRIVATE" not in first
    assert main.run(words) == 0
    assert (capsys.readouterr().out, key.read_bytes()) == (first, made)


def test_a_key_elsewhere_is_used_and_one_that_others_may_read_is_refused(
    key: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "own.pem"
    assert main.run(["worker", "init", "--worker-key", str(other)]) == 0
    assert not key.exists()
    assert load_worker_key(other).public in capsys.readouterr().out
    other.chmod(0o644)
    assert main.run(["worker", "init", "--worker-key", str(other)]) == 4
    assert "chmod 600" in capsys.readouterr().err


def test_an_unknown_architecture_is_refused_before_a_key_is_created(key: Path) -> None:
    assert main.run(["worker", "init", "--arch", "sparc"]) == 2
    assert not key.exists()


def test_a_directory_that_cannot_be_written_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    assert main.run(["worker", "init", "--worker-key", str(tmp_path / "file" / "key.pem")]) == 2
    assert f"{tmp_path}/file/key.pem: the key cannot be written" in capsys.readouterr().err
