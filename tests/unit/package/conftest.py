from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from tests.support.git_repos import make_repository
from tests.support.show_tag import VECTORS

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="session")
def linuxkits_repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_repository(tmp_path_factory.mktemp("vectors") / "repo", VECTORS["show-tag"]["repo"])


@pytest.fixture
def repository(linuxkits_repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A fresh copy of the repository in which LinuxKit's answers were recorded, and the working directory."""
    copy = tmp_path / "repo"
    shutil.copytree(linuxkits_repository, copy, symlinks=True)
    monkeypatch.chdir(copy)
    return copy
