"""Real git repositories for tests, made from lists of steps, without the user's git configuration."""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

_WHO = {
    f"GIT_{role}_{fact}": value
    for role in ("AUTHOR", "COMMITTER")
    for fact, value in (("NAME", "a"), ("EMAIL", "a@example.org"), ("DATE", "2024-01-01T00:00:00Z"))
}
_ALONE = {"GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull, "HOME": "/nonexistent"}


def git(repository: Path, *command: str, env: Mapping[str, str] | None = None, given: bytes = b"") -> bytes:
    """Run git in a repository; returns its output without the last newline."""
    done = subprocess.run(
        ["git", "-C", str(repository), *command],
        env={"PATH": os.environ["PATH"], **_ALONE, **_WHO, **(env or {})},
        input=given,
        capture_output=True,
        check=True,
        timeout=60,
    )
    return done.stdout.removesuffix(b"\n")


def make_repository(path: Path, steps: Iterable[Mapping[str, Any]] = ()) -> Path:
    """Make a repository on branch main, and do the steps in it."""
    path.mkdir(parents=True, exist_ok=True)
    git(path, "init", "-q", "-b", "main")
    do(path, steps)
    return path


def do(repository: Path, steps: Iterable[Mapping[str, Any]]) -> None:
    """Do the steps of show-tag.json: write (text, mode), symlink (to), mkdir, rm, git."""
    for step in steps:
        kind = next(iter(step))
        place = repository / str(step[kind])
        if kind == "git":
            git(repository, *step["git"])
            continue
        if kind in ("write", "symlink", "mkdir"):
            (place if kind == "mkdir" else place.parent).mkdir(parents=True, exist_ok=True)
        if kind == "write":
            place.write_text(step["text"])
            place.chmod(int(step.get("mode", "644"), 8))
        elif kind == "symlink":
            place.symlink_to(step["to"])
        elif kind == "rm":
            shutil.rmtree(place) if place.is_dir() else place.unlink()


def write(repository: Path, files: Mapping[str, str]) -> None:
    """Write text files, making the directories above them."""
    do(repository, [{"write": name, "text": text} for name, text in files.items()])


def commit_files(repository: Path, files: Mapping[str, str]) -> Path:
    """Make a repository of these text files, or add them to one, and commit everything."""
    write(make_repository(repository), files)
    commit(repository)
    return repository


def commit(repository: Path, message: str = "change", *, date: str = "2024-01-01T00:00:00Z") -> str:
    """Commit everything; returns the commit."""
    git(repository, "add", "-A")
    dates = {"GIT_AUTHOR_DATE": date, "GIT_COMMITTER_DATE": date}
    git(repository, "commit", "-q", "--allow-empty", "-m", message, env=dates)
    return git(repository, "rev-parse", "HEAD").decode()
