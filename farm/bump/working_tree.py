"""A bump as a diff, as files of the working tree, and as a commit."""

from __future__ import annotations

import difflib
import io
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from farm.errors import DirtyError, FarmError, GitError
from farm.package.changes import read_changes
from farm.package.git import LONGEST, open_repository
from farm.package.git_process import failed
from farm.settings import environment
from farm.system.files import put_in_place
from farm.system.processes import run
from farm.system.regular_files import read_regular

if TYPE_CHECKING:
    from collections.abc import Iterator

    from farm.bump.compute import Bump, Change
    from farm.bump.plan_bump import PlannedBump
    from farm.package.git import Repository

_COMMIT = "git commit did not end within {:.0f} s"
_TIMEOUT = 600.0
"""Seconds: a commit may ask for the passphrase of a signing key."""


def diff(bump: Bump) -> bytes:
    """The changes as `git apply` reads them."""
    return b"".join(line for change in bump.changes for line in _diff(change))


def _diff(change: Change) -> Iterator[bytes]:
    path = os.fsencode(change.path)
    yield b"diff --git a/%b b/%b\n" % (path, path)
    before, after = (io.BytesIO(text).readlines() for text in (change.before, change.after))
    for line in difflib.diff_bytes(difflib.unified_diff, before, after, b"a/" + path, b"b/" + path):
        yield line if line.endswith(b"\n") else line + b"\n\\ No newline at end of file\n"


def refuse_changed_packages(repository: Repository, bump: Bump) -> None:
    """Refuse a bump to a tag that is not what the working tree holds, but for what the bump changes.

    Raises:
        DirtyError: packages have uncommitted changes.
    """
    changes = read_changes(repository, [""])
    own = {os.fsencode(change.path) for change in bump.changes if _is_written(repository, change)}
    wrong = [
        tag.package.directory
        for tag in bump.tags
        if any(set(changes.under(tree.path)) - own for tree in tag.package.trees if not tree.repository)
    ]
    if wrong:
        raise DirtyError(
            f"{', '.join(wrong)}: has uncommitted changes, but a tag names committed content",
            hint="commit or stash them; `git status` shows which",
        )


def unwritten(repository: Repository, bump: Bump) -> list[Change]:
    """The changes that the working tree does not have yet.

    Raises:
        DirtyError: a file has other uncommitted changes.
    """
    return [change for change in bump.changes if not _is_written(repository, change, or_refuse=True)]


def _is_written(repository: Repository, change: Change, *, or_refuse: bool = False) -> bool:
    here = _read(repository, change).replace(b"\r\n", b"\n")
    if here == change.after.replace(b"\r\n", b"\n"):
        return True
    if or_refuse and here != change.before.replace(b"\r\n", b"\n"):
        raise DirtyError(
            f"{change.path}: has uncommitted changes beside its references",
            hint="commit or stash them; `git diff` shows them",
        )
    return False


def _read(repository: Repository, change: Change) -> bytes:
    path, top = Path(repository.top, change.path), Path(repository.top).resolve()
    try:
        return read_regular(path, LONGEST, within=top)
    except OSError as error:
        raise DirtyError(f"{path}: cannot be read: {error.strerror}", hint="git checkout it") from error


def write_files(repository: Repository, bump: Bump) -> int:
    """Rewrite the files of the working tree; returns how many. If it is interrupted, repeat it.

    Raises:
        DirtyError: a file has other uncommitted changes; nothing was written then.
        FarmError: a file cannot be written.
    """
    left = unwritten(repository, bump)
    for change in left:
        # On checkout git may have changed the line ends.
        crlf = b"\r\n" in _read(repository, change) and b"\r\n" not in change.after
        _replace(
            Path(repository.top, change.path), change.after.replace(b"\n", b"\r\n") if crlf else change.after
        )
    return len(left)


def _replace(path: Path, content: bytes) -> None:
    try:
        handle, name = tempfile.mkstemp(prefix=".farm-", dir=path.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                os.fchmod(file.fileno(), path.stat().st_mode & 0o777)
                file.write(content)
            put_in_place(Path(name), path)
        finally:
            Path(name).unlink(missing_ok=True)
    except OSError as error:
        raise FarmError(f"{path}: cannot be written: {error.strerror}") from error


def commit_files(planned: PlannedBump, message: str, *, sign_off: bool = False) -> str:
    """Write the files and commit them, and nothing else, as `git commit` does; returns the commit.

    Hooks and signatures are as for every commit of the user: the command is not guarded.

    Raises:
        DirtyError: a file has other uncommitted changes.
        GitError: git refuses, or HEAD is not what the bump was computed for.
    """
    repository, bump = planned.repository, planned.bump
    write_files(repository, bump)
    paths = b"".join(os.fsencode(change.path) + b"\0" for change in bump.changes)
    if open_repository(Path(repository.top)).commit != repository.commit:
        raise GitError(f"{repository.top}: HEAD has changed meanwhile", hint="repeat the command")
    words = ["commit", "--quiet", "--only", "--message", message, *(["--signoff"] if sign_off else [])]
    command = ["git", "-C", repository.top, "--literal-pathspecs", *words]
    late = GitError(f"{repository.top}: {_COMMIT.format(_TIMEOUT)}")
    done = run(
        [*command, "--pathspec-from-file=-", "--pathspec-file-nul"],
        timeout=_TIMEOUT,
        late=late,
        given=paths,
        environment=environment(),
    )
    if done.returncode:
        raise failed(f"{repository.top}: git commit failed", done)
    return str(open_repository(Path(repository.top)).commit)
