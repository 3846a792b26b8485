"""The duration of `farm show-tag`, beside the calls of git that linuxkit makes for each package."""

from __future__ import annotations

import subprocess
import sys
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from benchmarks.measure import Ratio, ratio

if TYPE_CHECKING:
    from collections.abc import Iterator

_FARM = str(Path(sys.executable).with_name("farm"))
_IDENTITY = ["-c", "user.name=bench", "-c", "user.email=bench@example.org"]
# https://github.com/linuxkit/linuxkit/blob/v1.8.2/src/cmd/linuxkit/pkglib/git.go
_OF_LINUXKIT = (
    ("ls-tree", "--full-tree", "HEAD", "--"),
    ("rev-parse", "HEAD"),
    ("update-index", "-q", "--refresh"),
    ("diff-index", "--quiet", "HEAD", "--"),
)


def rows() -> Iterator[Ratio]:
    """The tags of 68 packages, of 1,000, and of one."""
    with TemporaryDirectory(prefix="farm-b") as name:
        top = Path(name)
        make_repository(top, 1000)
        for count, rounds, limit in ((68, 9, 0.25), (1000, 3, 0.05)):
            packages = [f"pkg/p{number}" for number in range(count)]
            farm, peer = partial(_run, top, _FARM, "show-tag", *packages), partial(_git, top, packages)
            what = f"show-tag of {count} packages"
            yield ratio(what, farm, "four calls of git for each", peer, limit, rounds)
        least = partial(_least, top)
        yield ratio(
            "show-tag of one package",
            partial(_run, top, _FARM, "show-tag", "pkg/p0"),
            "importing yaml and click, and one git",
            least,
            1.5,
            21,
        )


def make_repository(top: Path, count: int) -> None:
    """A repository of this many packages, each committed and of its own."""
    for number in range(count):
        package = top / "pkg" / f"p{number}"
        package.mkdir(parents=True)
        (package / "build.yml").write_text(f"image: p{number}\n")
        (package / "Dockerfile").write_text("FROM scratch\nCOPY . /\n")
    for words in (["init", "-q"], ["add", "-A"], [*_IDENTITY, "commit", "-qm", "bench"]):
        _run(top, "git", *words)


def _git(top: Path, packages: list[str]) -> None:
    for package in packages:
        for words in _OF_LINUXKIT:
            _run(top, "git", *words, *([package] if words[-1] == "--" else []))


def _least(top: Path) -> None:
    _run(top, sys.executable, "-c", "import yaml, click")
    _run(top, "git", "rev-parse", "HEAD:pkg/p0")


def _run(top: Path, *words: str) -> None:
    subprocess.run(words, cwd=top, check=True, stdout=subprocess.DEVNULL)
