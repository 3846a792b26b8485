from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.support.git_repos import make_repository

VECTORS: dict[str, Any] = json.loads((Path(__file__).parents[2] / "data" / "show-tag.json").read_text())


@pytest.fixture(scope="session")
def linuxkits_repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_repository(tmp_path_factory.mktemp("vectors") / "repo", VECTORS["repo"])


@pytest.fixture
def repository(linuxkits_repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A fresh copy of the repository in which LinuxKit's answers were recorded, and the working directory."""
    copy = tmp_path / "repo"
    shutil.copytree(linuxkits_repository, copy, symlinks=True)
    monkeypatch.chdir(copy)
    return copy
