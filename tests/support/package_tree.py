"""Trees of packages that refer to each other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.support.git_repos import commit, git, make_repository, write

if TYPE_CHECKING:
    from pathlib import Path


class PackageTree:
    """A repository of packages, which refer to each other's current tags."""

    def __init__(self, path: Path) -> None:
        self.path = make_repository(path)

    def add(self, name: str, *lines: str, yml: str = "", **files: str) -> None:
        """Add a package, or replace it, and commit it."""
        texts = {"build.yml": f"image: {name}\n{yml}", "Dockerfile": "".join(f"{line}\n" for line in lines)}
        write(self.path, {f"pkg/{name}/{file}": text for file, text in (texts | files).items()})
        commit(self.path)

    def reference(self, name: str) -> str:
        """NAME:TAG of a package."""
        return f"linuxkit/{name}:{self.tag(name)}"

    def tag(self, name: str) -> str:
        """The tag of a package without extra sources."""
        return git(self.path, "rev-parse", f"HEAD:pkg/{name}").decode()
