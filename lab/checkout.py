"""The example packages as a git repository: the checkout itself, or a copy where that will not do."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lab.process import LabError
from lab.setup import ROOT

if TYPE_CHECKING:
    from pathlib import Path

EXAMPLES = ("hello", "motd", "greeter")
_PINNED = re.compile(r"(/hello:)[0-9a-f]{40}")
_AUTHOR = ["-c", "user.name=lab", "-c", "user.email=lab@localhost", "-c", "commit.gpgsign=false"]


@dataclass(frozen=True, slots=True)
class Checkout:
    """A directory that holds examples/, committed; `copied` says why it is a copy, and is None where not."""

    directory: Path
    copied: str | None = None


def committed_examples(home: Path) -> Checkout:
    """The checkout if its examples are committed, else a copy of them below `home`."""
    reason = why_unusable(ROOT)
    if reason is None:
        return Checkout(ROOT)
    return Checkout(copy_examples(home / "checkout"), reason)


def why_unusable(checkout: Path) -> str | None:
    """Why packages cannot be pushed from a checkout; None when they can."""
    status = ["git", "-C", str(checkout), "status", "--porcelain", "--", "examples"]
    seen = subprocess.run(status, capture_output=True, text=True, check=False, timeout=60)
    if seen.returncode:
        return seen.stderr.strip().splitlines()[0]
    if seen.stdout:
        return "examples/ has uncommitted changes"
    tree = ["git", "-C", str(checkout), "rev-parse", "--quiet", "--verify", "HEAD:./examples"]
    known = subprocess.run(tree, capture_output=True, check=False, timeout=60).returncode == 0
    return None if known else "examples/ is not committed"


def copy_examples(into: Path) -> Path:
    """Commit a copy of examples/ to a new repository, greeter being built from hello as it is now."""
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
    """Run git there; returns what it printed."""
    command = ["git", "-C", str(directory), *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    if done.returncode:
        raise LabError(f"`git {' '.join(words)}` failed: {done.stderr.strip()}")
    return done.stdout
