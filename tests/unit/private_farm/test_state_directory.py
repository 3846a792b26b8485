"""The private farm's place: its own directory, one supervisor, users that keep it up."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from farm.errors import EngineUnavailableError, SettingsError
from farm.private_farm.state_directory import StateDirectory, fingerprint
from farm.settings import Secret, Settings

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def place() -> Iterator[StateDirectory]:
    """A place with a short path; pytest's own are too long for sockets."""
    from tempfile import TemporaryDirectory  # noqa: PLC0415 - beside its one use

    with TemporaryDirectory(prefix="farm-t") as directory:
        yield StateDirectory.at(Path(directory) / "farm")


def test_only_its_owner_can_enter_it(place: StateDirectory) -> None:
    assert place.directory.stat().st_mode & 0o777 == 0o700
    assert place.logs.is_dir()


def test_a_path_that_no_socket_can_have_is_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="too long a path"):
        StateDirectory.at(tmp_path / ("x" * 100))


def test_a_place_that_cannot_be_made_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("file").write_text("")
    with pytest.raises(SettingsError, match="cannot be used"):
        StateDirectory.at(Path("/proc/farm"))


def test_there_is_one_supervisor_at_a_time(place: StateDirectory) -> None:
    assert not place.supervised()
    lock = place.supervise()
    assert lock is not None
    assert place.supervised()
    assert place.supervise() is None
    os.close(lock)
    assert not place.supervised()


def test_a_place_is_unused_once_its_last_user_has_left(place: StateDirectory) -> None:
    with place.used():
        with place.used():
            assert place.unused() is None
        assert place.unused() is None
    lock = place.unused()
    assert lock is not None
    os.close(lock)


def test_why_the_farm_failed_reaches_who_waits_for_it(place: StateDirectory) -> None:
    assert place.told_failure() is None
    place.tell_failure(EngineUnavailableError("no engine answers", hint="start one"))
    told = place.told_failure()
    assert isinstance(told, EngineUnavailableError)
    assert str(told) == "no engine answers (start one)"


def test_a_failure_that_is_half_written_is_none_yet(place: StateDirectory) -> None:
    place.failure.write_text('{"kind": "Farm')
    assert place.told_failure() is None


def test_the_brokers_url_is_that_of_its_socket(place: StateDirectory) -> None:
    assert place.broker.reveal() == f"unix://{place.directory}/redis.sock"


def test_a_farm_is_known_by_its_broker_and_by_how_its_workers_work_and_by_nothing_secret(
    place: StateDirectory,
) -> None:
    base = fingerprint(Settings())
    broker = Settings(broker=Secret("redis://:hush@h"))
    assert fingerprint(broker) != base
    assert fingerprint(broker)["settings"] == base["settings"]
    assert fingerprint(Settings(concurrency=2))["settings"] != base["settings"]
    assert fingerprint(Settings(org="other", sign=False, signing_passphrase=Secret("hush"))) == base
    assert place.told_fingerprint() == {}
    place.tell_fingerprint(broker)
    assert place.told_fingerprint() == fingerprint(broker)
    assert not any(b"hush" in file.read_bytes() for file in place.directory.iterdir() if file.is_file())
