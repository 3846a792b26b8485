"""Private trust directories on a real file system."""

from __future__ import annotations

from pathlib import Path

import pytest

from farm.errors import TrustError, TrustUnavailableError
from farm.trust.notary.deadline import TrustDeadline
from farm.trust.notary.directory import locked, private_directory


def soon() -> TrustDeadline:
    return TrustDeadline.after(10, "the test")


def test_only_the_owner_may_enter_and_nothing_stays(tmp_path: Path) -> None:
    with private_directory(tmp_path / "work", soon()) as path:
        assert path.stat().st_mode & 0o777 == 0o700
        (path / "private").mkdir()
    assert not path.exists()


def test_what_a_killed_process_left_is_removed_and_what_is_in_use_is_not(tmp_path: Path) -> None:
    left = tmp_path / "trust-left"
    (left / "private").mkdir(parents=True)
    (left / ".lock").touch()
    with private_directory(tmp_path, soon()) as first, private_directory(tmp_path, soon()) as second:
        assert not left.exists()
        assert first.exists()
        assert first != second


def test_files_of_others_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "notes").touch()
    with private_directory(tmp_path, soon()):
        pass
    assert (tmp_path / "notes").exists()


def test_a_place_that_cannot_be_written_is_an_explained_error() -> None:
    with (
        pytest.raises(TrustError, match="no trust directory can be made"),
        private_directory(Path("/proc/farm"), soon()),
    ):
        pass


def test_a_lock_that_stays_taken_ends_at_the_deadline(tmp_path: Path) -> None:
    with (
        locked(tmp_path / "lock", soon()),
        pytest.raises(TrustUnavailableError, match=r"longer than 0\.05 s"),
        locked(tmp_path / "lock", TrustDeadline.after(0.05, "the test")),
    ):
        pass
