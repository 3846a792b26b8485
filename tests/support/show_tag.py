"""What the real `linuxkit pkg show-tag` printed in repositories made of steps, and what is as good."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from tests.support.git_repos import do, make_repository

if TYPE_CHECKING:
    from collections.abc import Mapping

# Answers that differ are marked as better in the files: here a changed extra source, and a change in a
# submodule, show in a dirty tag, so that two states never have the same one. And nothing fetches what a
# partial clone lacks: its configuration names the programs that would.
DATA = Path(__file__).parents[1] / "data"
VECTORS: dict[str, dict[str, Any]] = {
    name: json.loads((DATA / f"{name}.json").read_text(encoding="utf-8"))
    for name in ("show-tag", "show-tag-2")
}


class Case(NamedTuple):
    """A call in a repository, and what linuxkit printed."""

    vectors: str
    """The name of the file of the case."""
    facts: Mapping[str, Any]

    @property
    def name(self) -> str:
        """The name of the case."""
        return str(self.facts["name"])

    def prepare(self, original: Path, parent: Path) -> Path:
        """The working directory of the call: in a copy of the repository below `parent`, if it is changed."""
        repository = original
        if self.facts["do"]:
            repository = parent / "repo"
            shutil.copytree(original, repository, symlinks=True, copy_function=_copy)
            do(repository, self.facts["do"])
        return repository / str(self.facts["cwd"])

    def accepts(self, code: int, printed: str) -> bool:
        """Whether linuxkit answered the same, or the case is marked as one where this is better."""
        expected, failed = self.facts["expect"], code != 0 and not printed
        same = failed if expected["exit"] == "error" else (code, printed) == (0, expected["stdout"])
        better = {
            None: False,
            "any": failed or code == 0,
            "error": failed,
            "dirty": code == 0 and "-dirty-" in printed,
            "ok": code == 0,
        }
        return same or better[self.facts.get("better")]


CASES = [Case(name, facts) for name, vectors in VECTORS.items() for facts in vectors["cases"]]


def originals(parent: Path) -> dict[str, Path]:
    """The repository of each file, which no call may change."""
    return {name: make_repository(parent / name, vectors["repo"]) for name, vectors in VECTORS.items()}


def _copy(source: str, target: str) -> None:
    """A copy of a file; git never changes an object, so that a second name is enough."""
    (os.link if "/.git/objects/" in source else shutil.copy2)(source, target)
