"""The state directory: private, with one supervisor, kept up by its users."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import pytest

from farm.errors import EngineUnavailableError, SettingsError, StateError
from farm.private_farm.connect import take_down
from farm.private_farm.state_directory import StateDirectory, fingerprint
from farm.settings import Secret, Settings
from farm.system.locks import locked, try_lock

if TYPE_CHECKING:
    from collections.abc import Iterator

STARTING = """
import os, signal, sys
from pathlib import Path
from farm.system.locks import locked
with locked(Path(sys.argv[1])) as lock:
    print("up", flush=True)
    sys.stdin.readline()
    os.write(lock, str(os.getpid()).encode())
    signal.pause()
"""


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


def test_a_supervisor_that_was_killed_leaves_nobody_who_gets_its_signal(directory: StateDirectory) -> None:
    """Another process may have its number by now."""
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as other:
        directory.supervisor_lock.write_text(str(other.pid))
        assert not take_down(Settings(state_dir=directory.directory))
        assert other.poll() is None
        other.communicate()
        assert not directory.signal_supervisor(0)


def test_a_supervisor_that_has_only_just_started_is_stopped(directory: StateDirectory) -> None:
    """It holds the lock for a moment before its process ID is in it."""
    lock = str(directory.supervisor_lock)
    with (
        subprocess.Popen([sys.executable, "-c", STARTING, lock], stdin=-1, stdout=-1) as supervisor,
        ThreadPoolExecutor() as pool,
        ExitStack() as stack,
    ):
        stack.callback(supervisor.kill)
        assert supervisor.stdin
        assert supervisor.stdout
        supervisor.stdout.readline()
        stopping = pool.submit(take_down, Settings(state_dir=directory.directory))
        supervisor.stdin.write(b"\n")
        supervisor.stdin.close()
        assert stopping.result(30)


def test_a_farm_of_another_user_is_not_stopped_and_the_error_says_why(
    directory: StateDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory.supervisor_lock.write_text("1")

    def refuse(*_: int) -> None:
        raise PermissionError

    monkeypatch.setattr("os.kill", refuse)
    with locked(directory.supervisor_lock), pytest.raises(StateError, match="belongs to another user"):
        take_down(Settings(state_dir=directory.directory))


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
