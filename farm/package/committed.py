"""Whether a package is committed, so that its tag can identify its content."""

from __future__ import annotations

from typing import TYPE_CHECKING

from farm.errors import DirtyError, InputError

if TYPE_CHECKING:
    from farm.model import Package


def require_committed(package: Package) -> str:
    """The commit of a package whose tag names committed content.

    Raises:
        DirtyError: the package has uncommitted changes.
        InputError: it is not in git.
    """
    if package.dirty:
        raise DirtyError(
            f"{package.directory}: has uncommitted changes, but a tag names committed content",
            hint="commit or stash them; `git status` shows which",
        )
    if not package.commit:
        raise InputError(f"{package.directory}: is not in git", hint="git init, git add and git commit it")
    return package.commit
