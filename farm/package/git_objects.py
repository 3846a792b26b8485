"""Git's objects, read by GitPython: the contents of any number of blobs with one process of git.

This is the only use of GitPython. Its import takes 70 ms, and fails if git is missing, as it may be on
workers: import this module only in functions that need it, or in modules that only a push or a build imports.
"""

from __future__ import annotations

from collections import defaultdict, deque
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from git import Repo
from git.exc import GitCommandError, ODBError
from git.exc import GitError as GitPythonError

from farm.errors import GitError
from farm.package.git import repository_of
from farm.package.git_process import guarded
from farm.package.tarball import PIECE, Blob
from farm.system.files import spool
from farm.system.processes import read_in_bulk

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
            yield Objects(repo)
    except GitCommandError as error:
        said = str(error.stderr).strip().removeprefix("stderr: ").strip("'\n ").splitlines()
        raise GitError(f"{repository}: {(said or [f'git ended with {error.status}'])[0]}") from error
    except (GitPythonError, ODBError) as error:
        raise GitError(f"{repository}: git cannot read it: {error}") from error


class Objects:
    """The objects of an open repository."""

    def __init__(self, repo: Repo) -> None:
        self._repo = repo

    def commit_time(self, commit: str) -> float:
        """Seconds since 1970."""
        return float(self._repo.commit(commit).committed_date)

    def last_change(self, commit: str, directories: Sequence[str]) -> int:
        """The time of the last commit that changed the directories, in seconds since 1970."""
        paths = [f":(top,literal){directory}" if directory else ":(top)" for directory in directories]
        words = str(self._git("rev-list", "--max-count=1", "--timestamp", commit, "--", *paths)).split()
        seconds, changed = words or [str(int(self.commit_time(commit))), commit]
        if (self.common_directory / "shallow").exists() and self._is_boundary(changed):
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

    def contents(self, oids: Sequence[str]) -> Iterator[Blob]:
        """Each of these blobs in turn; what is not read of one is skipped. Git begins at once to read them.

        https://git-scm.com/docs/git-cat-file#_batch_output
        """
        if not oids:
            return iter(())
        with spool() as asked:
            asked.write("".join(f"{oid}\n" for oid in oids).encode())
            asked.seek(0)
            git = self._git("cat-file", "--batch", "--buffer", istream=asked, as_process=True)
        return self._blobs(git, oids)

    def _blobs(self, git: Any, oids: Sequence[str]) -> Iterator[Blob]:
        with git.stdout, read_in_bulk(git.stdout, PIECE) as answers:
            for oid in oids:
                answer = answers.readline().split()
                if answer[:2] != [oid.encode(), b"blob"]:
                    raise self._unreadable(oid)
                blob = Blob(int(answer[2]), self._pieces(answers, oid, int(answer[2])))
                yield blob
                deque(blob.pieces, 0)
                answers.readline()

    def _pieces(self, answers: IO[bytes], oid: str, left: int) -> Iterator[bytes]:
        while left:
            piece = answers.read(min(left, PIECE))
            if not piece:
                raise self._unreadable(oid)
            left -= len(piece)
            yield piece

    def _unreadable(self, oid: str) -> GitError:
        return GitError(f"{self._repo.working_dir}: git cannot read the object {oid}", hint="run `git fsck`")

    def _is_boundary(self, commit: str) -> bool:
        # At the boundary of a shallow clone rev-list shows no parents, but the commit object names them:
        # https://git-scm.com/docs/shallow
        visible = str(self._git("rev-list", "--max-count=1", "--parents", commit)).split()
        return visible == [commit] and bool(self._repo.commit(commit).parents)

    def _git(self, *command: str, **options: Any) -> Any:
        return self._repo.git.execute(["git", *command], **options)
