"""Git's objects, read by GitPython over one `git cat-file --batch` for each repository.

This is the only use of GitPython. Its import takes 70 ms, and fails if git is missing, as it may be on
workers: import this module only in functions that need it, or in modules that only a push or a build imports.
"""

from __future__ import annotations

from collections import defaultdict
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from git import Repo
from git.exc import GitCommandError, ODBError
from git.exc import GitError as GitPythonError

from farm.errors import GitError
from farm.package.git import repository_of
from farm.package.git_process import guarded
from farm.package.tarball import PIECE, Entry
from farm.package.tree_hash import DIRECTORY, GITLINK, SYMLINK

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from farm.model import Package
    from farm.package.git import Repository


@cache
def _commit_time(repository: str, commit: str) -> float:
    with opened(repository) as objects:
        return objects.commit_time(commit)


def commit_time(package: Package) -> float | None:
    """The time of the package's commit, in seconds since 1970; None for a package outside git."""
    return _commit_time(package.repository, package.commit) if package.commit else None


def last_change(package: Package) -> int:
    """The time of the last commit that changed the trees of a package, in seconds since 1970.

    What changes a submodule is a commit of the repository that contains it.
    """
    paths: dict[Repository, list[str]] = defaultdict(list)
    for tree in package.trees:
        paths[repository_of(package, tree)].append(tree.path)
    times = []
    for repository, directories in paths.items():
        with opened(repository.top) as objects:
            times.append(objects.last_change(str(repository.commit), directories))
    return max(times)


@contextmanager
def opened(repository: str) -> Iterator[Objects]:
    """The objects of the repository with this working tree; inside, git's errors become GitErrors."""
    try:
        with Repo(repository, expand_vars=False) as repo:
            repo.git.update_environment(**guarded())
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
    """The objects of an open repository."""

    def __init__(self, repo: Repo) -> None:
        self._repo = repo
        self._reading: Any = None

    def close(self) -> None:
        """Read the rest of a blob; GitPython would try to when it is collected, on a closed pipe."""
        while self._reading and self._reading.read(PIECE):
            pass

    def commit_time(self, commit: str) -> float:
        """Seconds since 1970."""
        return float(self._repo.commit(commit).committed_date)

    def last_change(self, commit: str, directories: Sequence[str]) -> int:
        """The time of the last commit that changed the directories, in seconds since 1970."""
        paths = [f":(top,literal){directory}" if directory else ":(top)" for directory in directories]
        words = str(self._git("rev-list", "--max-count=1", "--timestamp", commit, "--", *paths)).split()
        seconds, changed = words or [str(int(self.commit_time(commit))), commit]
        if self._is_boundary(changed):
            raise GitError(
                f"{self._repo.working_dir}: the clone is too shallow to contain the last change of "
                f"{', '.join(directories)}, whose date the build context needs",
                hint="git fetch --unshallow",
            )
        return int(seconds)

    @property
    def common_directory(self) -> Path:
        """The git directory, which all working trees of the repository share."""
        return Path(self._repo.common_dir)

    def entries(self, tree: str) -> Iterator[Entry]:
        """Every file, link, directory and submodule of a tree.

        https://git-scm.com/docs/git-ls-tree#_output_format
        """
        listing: bytes = self._git(
            "ls-tree", "-r", "-t", "-l", "-z", "--full-tree", tree, stdout_as_string=False
        )
        for record in listing.split(b"\0")[:-1]:
            columns, _, path = record.partition(b"\t")
            mode, _, oid, size = columns.decode().split()
            yield self._entry(path, mode.lstrip("0"), oid, size)

    def content(self, oid: str) -> Iterator[bytes]:
        """The content of a blob in pieces; read them all before the next call, which uses the same pipe."""
        try:
            stream = self._reading = self._repo.odb.stream(bytes.fromhex(oid))
        except (ValueError, OSError) as error:
            raise self._unreadable(oid) from error
        while piece := stream.read(PIECE):
            yield piece

    def _entry(self, path: bytes, mode: str, oid: str, size: str) -> Entry:
        if mode in (DIRECTORY, GITLINK):
            return Entry(path, mode)
        if mode == SYMLINK:
            return Entry(path, mode, oid, target=b"".join(self.content(oid)))
        if not size.isdigit():
            raise self._unreadable(oid)
        return Entry(path, mode, oid, int(size))

    def _unreadable(self, oid: str) -> GitError:
        return GitError(f"{self._repo.working_dir}: git cannot read the object {oid}", hint="run `git fsck`")

    def _is_boundary(self, commit: str) -> bool:
        # At the boundary of a shallow clone rev-list shows no parents, but the commit object names them:
        # https://git-scm.com/docs/shallow
        visible = str(self._git("rev-list", "--max-count=1", "--parents", commit)).split()
        return visible == [commit] and bool(self._repo.commit(commit).parents)

    def _git(self, *command: str, **options: Any) -> Any:
        return self._repo.git.execute(["git", *command], **options)
