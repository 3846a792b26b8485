"""Temporary directories that only their owner may enter, on a real file system."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from farm.system.files import temporary_directory

if TYPE_CHECKING:
    from pathlib import Path

temporary = partial(temporary_directory, prefix="trust-")


def test_only_the_owner_may_enter_and_nothing_stays(tmp_path: Path) -> None:
    with temporary(tmp_path / "work") as path:
        assert path.stat().st_mode & 0o777 == 0o700
        (path / "private").mkdir()
    assert not path.exists()


def test_only_what_a_killed_process_left_is_removed(tmp_path: Path) -> None:
    left = tmp_path / "trust-left"
    (left / "private").mkdir(parents=True)
    (left / ".lock").touch()
    (tmp_path / "notes").touch()
    with temporary(tmp_path) as first, temporary(tmp_path) as second:
        assert not left.exists()
        assert first.exists()
        assert first != second
    assert (tmp_path / "notes").exists()
