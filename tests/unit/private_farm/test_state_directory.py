"""The state directory: private, with one supervisor, kept up by its users."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import pytest

from farm.errors import EngineUnavailableError, SettingsError
from farm.private_farm.state_directory import StateDirectory, fingerprint
from farm.settings import Secret, Settings
from farm.system.locks import locked, try_lock

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def directory() -> Iterator[StateDirectory]:
    """A state directory with a short path; those of pytest are too long for sockets."""
    with TemporaryDirectory(prefix="farm-t") as short:
        yield StateDirectory.at(Path(short) / "farm")


def test_only_its_owner_can_enter_it(directory: StateDirectory) -> None:
    assert directory.directory.stat().st_mode & 0o777 == 0o700
    assert directory.logs.is_dir()
    assert directory.broker.reveal() == f"unix://{directory.directory}/redis.sock"


@pytest.mark.parametrize(
    ("path", "problem"), [("x" * 100, "is too long for a socket"), ("/proc/farm", "cannot be used")]
)
def test_a_path_that_cannot_be_used_is_refused_at_once(path: str, problem: str) -> None:
    with pytest.raises(SettingsError, match=problem):
        StateDirectory.at(Path(path))


def test_there_is_one_supervisor_at_a_time(directory: StateDirectory) -> None:
    assert not directory.has_supervisor()
    lock = try_lock(directory.supervisor_lock)
    assert lock is not None
    assert directory.has_supervisor()
    assert try_lock(directory.supervisor_lock) is None
    os.close(lock)
    assert not directory.has_supervisor()


def test_users_can_be_locked_out_only_when_the_last_one_has_left(directory: StateDirectory) -> None:
    use = partial(locked, directory.users_lock, shared=True)
    with use():
        with use():
            assert try_lock(directory.users_lock) is None
        assert try_lock(directory.users_lock) is None
    lock = try_lock(directory.users_lock)
    assert lock is not None
    os.close(lock)


def test_a_failure_reaches_the_commands_that_wait(directory: StateDirectory) -> None:
    assert directory.read_failure() is None
    directory.write_failure(EngineUnavailableError("no engine answers", hint="start one"))
    failure = directory.read_failure()
    assert isinstance(failure, EngineUnavailableError)
    assert str(failure) == "no engine answers (start one)"
    directory.failure.write_text('{"kind": "Farm')
    assert directory.read_failure() is None  # only half of it is written


def test_a_fingerprint_covers_the_broker_and_the_workers_settings_and_holds_no_secret(
    directory: StateDirectory,
) -> None:
    base = fingerprint(Settings())
    broker = Settings(broker=Secret("redis://:hush@h"))
    assert fingerprint(broker) != base
    assert fingerprint(broker)["settings"] == base["settings"]
    assert fingerprint(Settings(concurrency=2))["settings"] != base["settings"]
    assert fingerprint(Settings(org="other", sign=False, signing_passphrase=Secret("hush"))) == base
    assert directory.read_fingerprint() == {}
    directory.write_fingerprint(broker)
    assert directory.read_fingerprint() == fingerprint(broker)
    assert not any(b"hush" in file.read_bytes() for file in directory.directory.iterdir() if file.is_file())
