"""Each clone gets a virtual environment of its own from the cache, without a download."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from lab import venv
from lab.machine import ROOT

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A clone on a machine that reaches no package index."""
    monkeypatch.setenv("PIP_INDEX_URL", "http://index.invalid/simple")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tmp_path)
    for name in ("farm", "tasks", "workers", "config"):
        shutil.copytree(ROOT / name, tmp_path / name)
    return tmp_path


def test_a_clone_runs_its_own_code_with_the_cached_dependencies(clone: Path) -> None:
    (clone / "farm" / "__init__.py").write_text('__version__ = "9.9.9"\n')
    venv.make(clone / ".venv", clone / "pyproject.toml")
    assert venv.is_fresh(clone / ".venv", clone / "pyproject.toml")
    programs = clone / ".venv" / "bin"
    assert "9.9.9" in _output(programs / "farm", "--version")
    assert _output(programs / "pytest", "--version").startswith("pytest ")
    prefix = _output(programs / "python", "-c", "import sys, redis; print(sys.prefix, redis.__file__)")
    assert all(path.startswith(str(clone / ".venv")) for path in prefix.split())
    assert [script for script in programs.iterdir() if str(venv.VENV).encode() in script.read_bytes()] == []


def _output(*command: Path | str) -> str:
    done = subprocess.run(
        [str(word) for word in command], cwd="/", capture_output=True, text=True, check=True, timeout=60
    )
    return done.stdout
