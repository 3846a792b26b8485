"""The virtual environment .venv: a copy of one in the cache, with this checkout installed into it."""

from __future__ import annotations

import hashlib
import shutil
import sys
import tomllib
from typing import TYPE_CHECKING

from lab.cache import Entry, remove
from lab.machine import ROOT, native, run

if TYPE_CHECKING:
    from pathlib import Path

VENV = ROOT / ".venv"
_STAMP = ".set-up-from"
_PLACEHOLDER = "/path/of/the/environment"
"""Replaces the path in the cached environment's scripts; an environment cannot be moved as it is."""


def is_fresh(venv: Path = VENV, project: Path = ROOT / "pyproject.toml") -> bool:
    """Whether an environment holds what pyproject.toml requires, and is at the path for which it was made."""
    stamp = venv / _STAMP
    _entry(project).exists()  # counts as use
    return stamp.is_file() and stamp.read_text() == _made_from(venv, project) and (venv / "bin/farm").exists()


def make(venv: Path = VENV, project: Path = ROOT / "pyproject.toml") -> None:
    """Make an environment with this checkout installed into it, without a download if it is cached."""
    cached = _entry(project).filled(lambda new: _install_dependencies(new, project))
    remove(venv)
    shutil.copytree(cached, venv, symlinks=True)
    _rewrite(venv, _PLACEHOLDER, str(venv))
    offline = ["--no-index", "--no-deps", "--no-build-isolation"]
    pip = [str(venv / "bin/python"), "-m", "pip", "install", "-q", "--disable-pip-version-check"]
    run([*pip, *offline, "-e", str(project.parent)])
    (venv / _STAMP).write_text(_made_from(venv, project))


def requirements(project: Path) -> list[str]:
    """What running, testing and building the project needs."""
    described = tomllib.loads(project.read_text())
    parts = described["project"]
    return [
        *parts.get("dependencies", []),
        *parts.get("optional-dependencies", {}).get("dev", []),
        *described.get("build-system", {}).get("requires", []),
    ]


def _entry(project: Path) -> Entry:
    return Entry("venv", (sys.version, sys.base_prefix, native(), *requirements(project)))


def _install_dependencies(new: Path, project: Path) -> None:
    run([sys.executable, "-m", "venv", str(new)])
    pip = [str(new / "bin/python"), "-m", "pip", "install", "-q", "--disable-pip-version-check"]
    run([*pip, *requirements(project)])
    _rewrite(new, str(new), _PLACEHOLDER)


def _rewrite(venv: Path, old: str, new: str) -> None:
    """Replace a path in the scripts of an environment."""
    for script in [venv / "pyvenv.cfg", *(venv / "bin").iterdir()]:
        if not script.is_symlink() and old.encode() in (content := script.read_bytes()):
            script.write_bytes(content.replace(old.encode(), new.encode()))


def _made_from(venv: Path, project: Path) -> str:
    digest = hashlib.sha256(project.read_bytes()).hexdigest()
    return f"{_entry(project).path.name} {digest} {venv}"
