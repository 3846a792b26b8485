"""The example packages as a git repository: the checkout itself, or a copy if it is not committed."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lab.machine import ROOT
from lab.process import LabError

if TYPE_CHECKING:
    from pathlib import Path

EXAMPLES = ("hello", "motd", "greeter")
_PINNED = re.compile(r"(/hello:)[0-9a-f]{40}")
_AUTHOR = ["-c", "user.name=lab", "-c", "user.email=lab@localhost", "-c", "commit.gpgsign=false"]


@dataclass(frozen=True, slots=True)
class Checkout:
    """A directory with examples/, committed."""

    directory: Path
    copied: str | None = None
    """Why it is a copy; None if it is not."""


def committed_examples(home: Path) -> Checkout:
    """Return the checkout if its examples are committed, else a copy of them below `home`."""
    reason = why_unusable(ROOT)
    if reason is None:
        return Checkout(ROOT)
    return Checkout(copy_examples(home / "checkout"), reason)


def why_unusable(checkout: Path) -> str | None:
    """Why packages cannot be pushed from a checkout; None if they can."""
    status = ["git", "-C", str(checkout), "status", "--porcelain", "--", "examples"]
    done = subprocess.run(status, capture_output=True, text=True, check=False, timeout=60)
    if done.returncode:
        return done.stderr.strip().splitlines()[0]
    if done.stdout:
        return "examples/ has uncommitted changes"
    tree = ["git", "-C", str(checkout), "rev-parse", "--quiet", "--verify", "HEAD:./examples"]
    known = subprocess.run(tree, capture_output=True, check=False, timeout=60).returncode == 0
    return None if known else "examples/ is not committed"


def copy_examples(into: Path) -> Path:
    """Commit a copy of examples/ to a new repository, with greeter built from the current hello."""
    shutil.copytree(ROOT / "examples", into / "examples")
    git(into, "init", "--quiet", "--initial-branch=main")
    git(into, "add", "--all")
    git(into, *_AUTHOR, "commit", "--quiet", "--message=Examples")
    hello = git(into, "rev-parse", "HEAD:examples/hello").strip()
    dockerfile = into / "examples" / "greeter" / "Dockerfile"
    dockerfile.write_text(_PINNED.sub(rf"\g<1>{hello}", dockerfile.read_text()))
    git(
        into, *_AUTHOR, "commit", "--quiet", "--all", "--allow-empty", "--message=Greeter is built from hello"
    )
    return into


def git(directory: Path, *words: str) -> str:
    """Run git in a directory; returns its output."""
    command = ["git", "-C", str(directory), *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    if done.returncode:
        raise LabError(f"`git {' '.join(words)}` failed: {done.stderr.strip()}")
    return done.stdout
