"""The submodules of packages: parts of the build context that are repositories of their own."""

from __future__ import annotations

import os
import posixpath
import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from farm.errors import GitError
from farm.model import GitTree, Submodule
from farm.package.git import Repository, list_files, open_repository
from farm.package.git_process import ask_git
from farm.package.tree_paths import GITLINK, is_below

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from farm.model import Package

_TREE = re.compile(rb"tree ([0-9a-f]{40})\n")


def find_submodules(repository: Repository, trees: Sequence[GitTree]) -> tuple[Submodule, ...]:
    """The submodules of committed trees, and theirs in turn; each comes after the part that contains it."""
    parts = list(trees)
    found: list[Submodule] = []
    for number, tree in enumerate(parts):
        if not tree.tree:  # its commit is not here, so neither is the list of its submodules
            continue
        at = Repository(tree.repository or repository.top, tree.commit or repository.commit)
        for path, commit in _below(at, tree.path) if _has_any(at) else ():
            top = str(Path(at.top, tree.path, os.fsdecode(path)))
            raw = _read_commit(top, commit)
            named = _TREE.match(raw)
            place = posixpath.join(tree.dst, path.decode(errors="surrogateescape"))
            part = GitTree("", named[1].decode() if named else "", place, top, commit)
            parts.append(part)
            found.append(Submodule(part, number, raw.decode("latin-1")))
    return tuple(found)


def known_submodules(repository: Repository) -> Iterator[bytes]:
    """The paths of the submodules of a repository from its top; without theirs."""
    return (
        (path for path, _ in _below(repository, ""))
        if repository.commit and _has_any(repository)
        else iter(())
    )


def _has_any(repository: Repository) -> bool:
    """Whether git knows a submodule; to list all files takes time."""
    return Path(repository.top, ".gitmodules").is_file()


def working_submodules(repository: Repository, directory: str) -> Iterator[tuple[str, Repository | None]]:
    """The submodules below a directory of a working tree, and theirs in turn: the path of each in full.

    Its repository is None if it is not checked out.
    """
    for path, _ in _below(repository, directory):
        top = Path(repository.top, directory, os.fsdecode(path))
        here = (top / ".git").exists() and not top.is_symlink()
        inner = open_repository(top) if here else None
        yield str(top), inner
        if inner and inner.commit:
            yield from working_submodules(inner, "")


def unknown_submodule(package: Package, place: str) -> GitError:
    """The error for a submodule that `find_submodules` cannot find."""
    return GitError(
        f"{package.directory}: {place} is a submodule, and its repository has no .gitmodules",
        hint="git submodule add it, or commit its files instead",
    )


def _below(repository: Repository, directory: str) -> Iterator[tuple[bytes, str]]:
    """The paths of the submodules below a directory, relative to it, and their commits."""
    inside = os.fsencode(directory)
    for path, commit in _gitlinks(repository):
        if is_below(path, inside):
            yield path[len(inside) + 1 if inside else 0 :], commit


@cache
def _gitlinks(repository: Repository) -> tuple[tuple[bytes, str], ...]:
    files = list_files(repository, [""])
    return tuple((path, file.oid) for path, file in files.items() if file.mode == GITLINK)


def _read_commit(top: str, commit: str) -> bytes:
    """A commit object of a submodule; b"" if it is not checked out, or does not have this commit."""
    if not Path(top, ".git").exists():
        return b""
    answer = ask_git(top, "cat-file", "commit", commit)
    return b"" if answer.returncode else answer.stdout
