"""What git is told, whatever a repository says."""

from __future__ import annotations

from typing import TYPE_CHECKING

from farm.package.git_process import ask_git, guarded, without_filters
from tests.support.git_repos import git, make_repository

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def test_the_users_own_variables_of_configuration_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As safe.directory is set so."""
    own = {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "user.name", "GIT_CONFIG_VALUE_0": "me"}
    for name, value in own.items():
        monkeypatch.setenv(name, value)
    assert "GIT_CONFIG_KEY_0" not in guarded()
    top = str(make_repository(tmp_path))
    answers = {"user.name": b"me\n", "core.fsmonitor": b"false\n", "core.hooksPath": b"/dev/null\n"}
    assert {key: ask_git(top, "config", key).stdout for key in answers} == answers


def test_every_filter_of_a_repository_is_off_whatever_its_name(tmp_path: Path) -> None:
    repository = make_repository(tmp_path)
    drivers = ("x", "a=b", "A b.c", "é\"'")
    for driver in drivers:
        git(repository, "config", f"filter.{driver}.clean", "true")
        git(repository, "config", f"filter.{driver}.required", "true")
    off = without_filters(str(repository))
    for driver in drivers:
        for key, wanted in (("clean", b"\n"), ("process", b"\n"), ("required", b"false\n")):
            asked = ask_git(str(repository), "config", f"filter.{driver}.{key}", configuration=off)
            assert asked.stdout == wanted
    assert without_filters(str(make_repository(tmp_path / "none"))) == []
