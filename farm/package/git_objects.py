"""Git's objects, read by GitPython over one `git cat-file --batch` per repository.

Importing GitPython fails where git is missing, as it may be on workers: import this late.
"""

from __future__ import annotations

from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any

from git import Repo
from git.exc import GitCommandError, ODBError
from git.exc import GitError as GitPythonError

from farm.errors import GitError
from farm.package.tarball import FOLDER, LINK, PIECE, Entry, shown

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from farm.model import Package

_GITLINK = "160000"


@cache
def _commit_time(repository: str, commit: str) -> float:
    with opened(repository) as objects:
        return objects.commit_time(commit)


def commit_time(package: Package) -> float | None:
    """When the package's commit was made, in seconds since 1970; None for a package outside git.

    Raises:
        GitError: git cannot say.
    """
    return _commit_time(package.repository, package.commit) if package.commit else None


@contextmanager
def opened(repository: str) -> Iterator[Objects]:
    """The objects of the repository with this working tree.

    Raises:
        GitError: git cannot read the repository, here or in what is done with its objects.
    """
    try:
        with Repo(repository, expand_vars=False) as repo:
            objects = Objects(repo)
            try:
                yield objects
            finally:
                objects.close()
    except GitCommandError as error:
        said = str(error.stderr).strip().removeprefix("stderr: ").strip("'\n ").splitlines()
        raise GitError(f"{repository}: {(said or [f'git ended with {error.status}'])[0]}") from error
    except (GitPythonError, ODBError) as error:
        raise GitError(f"{repository}: git cannot read it: {error}") from error


class Objects:
    """What can be asked of an open repository."""

    def __init__(self, repo: Repo) -> None:
        self._repo = repo
        self._reading: Any = None

    def close(self) -> None:
        """Take the rest of a blob that was given up: GitPython would later, and complain of a closed pipe."""
        while self._reading and self._reading.read(PIECE):
            pass

    def commit_time(self, commit: str) -> float:
        """Seconds since 1970."""
        return float(self._repo.commit(commit).committed_date)

    def last_change(self, commit: str, directories: Sequence[str]) -> int:
        """When the last commit that touched the directories was made, in seconds since 1970.

        Raises:
            GitError: the history is cut off before that commit.
        """
        paths = [f":(top,literal){directory}" if directory else ":(top)" for directory in directories]
        words = str(self._git("rev-list", "--max-count=1", "--timestamp", commit, "--", *paths)).split()
        seconds, touched = words or [str(int(self.commit_time(commit))), commit]
        if self._cut_off(touched):
            raise GitError(
                f"{self._repo.working_dir}: its history is cut off before the last change of "
                f"{', '.join(directories)}, whose date the context carries",
                hint="git fetch --unshallow",
            )
        return int(seconds)

    def entries(self, tree: str, below: str) -> Iterator[Entry]:
        """Every file, link and directory of a tree, as they stand below a directory of the context.

        Raises:
            GitError: the tree holds a submodule.
        """
        prefix = below.encode(errors="surrogateescape") + b"/" if below else b""
        listing: bytes = self._git(
            "ls-tree", "-r", "-t", "-l", "-z", "--full-tree", tree, stdout_as_string=False
        )
        for record in listing.split(b"\0")[:-1]:
            facts, _, path = record.partition(b"\t")
            mode, _, oid, size = facts.decode().split()
            if mode == _GITLINK:
                raise GitError(
                    f"{self._repo.working_dir}: {shown(path)} is a submodule, which has no content in a tag",
                    hint="commit its files, or name its repository elsewhere",
                )
            yield self._entry(prefix + path, mode.lstrip("0"), oid, size)

    def content(self, oid: str) -> Iterator[bytes]:
        """The content of a blob in pieces; take them all before asking anything else.

        Raises:
            GitError: the blob is missing, as in a damaged repository.
        """
        try:
            stream = self._reading = self._repo.odb.stream(bytes.fromhex(oid))
        except (ValueError, OSError) as error:
            raise self._unreadable(oid) from error
        while piece := stream.read(PIECE):
            yield piece

    def _entry(self, path: bytes, mode: str, oid: str, size: str) -> Entry:
        if mode == FOLDER:
            return Entry(path, mode)
        if mode == LINK:
            return Entry(path, mode, oid, target=b"".join(self.content(oid)))
        if not size.isdigit():
            raise self._unreadable(oid)
        return Entry(path, mode, oid, int(size))

    def _unreadable(self, oid: str) -> GitError:
        return GitError(
            f"{self._repo.working_dir}: git cannot read the object {oid}", hint="see what `git fsck` says"
        )

    def _cut_off(self, commit: str) -> bool:
        # A shallow clone hides the parents that the commit itself names.
        known = str(self._git("rev-list", "--max-count=1", "--parents", commit)).split()
        return known == [commit] and bool(self._repo.commit(commit).parents)

    def _git(self, *command: str, **options: Any) -> Any:
        return self._repo.git.execute(["git", *command], **options)
