"""Asking git about directories: four processes for each repository, however many directories there are.

These are plain subprocesses because GitPython takes 70 ms to import, which `farm show-tag` and `farm plan` do
not need. git_objects.py uses it to read objects.
"""

from __future__ import annotations

import os
import re
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, NamedTuple

from farm.errors import GitError, InputError
from farm.package.git_process import ask_git, asking_git, failed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from farm.model import GitTree, Package
    from farm.package.git_process import Answer, Configuration

MOST_PATHS = 100
"""With more paths, `git status` is slower than for the whole repository."""
_COMMIT = re.compile(r"[0-9a-f]{40}")
_WITH_PATH = (b"symlink", b"dangling", b"loop", b"notdir")
"""The answers that a path follows."""
_TREE = re.compile(r"tree ([0-9a-f]{40})")
_BLOB = re.compile(rb"[0-9a-f]{40} blob [0-9]+")

LONGEST = 1 << 20
"""Bytes of a file that is read to plan: a build.yml, a Dockerfile, a list of images, a .gitattributes."""
ATTRIBUTES = ".gitattributes"
INCLUDE_IGNORED = "git add --force and commit it, or add --include-ignored [FARM_INCLUDE_IGNORED]"
"""The hint if a package needs what git ignores."""
NAME_A_RELEASE = "--release=TAG selects one, --release= releases nothing"
"""The hint if the tags on HEAD do not name one release."""


class Repository(NamedTuple):
    """A working tree, and the commit from which its packages are taken."""

    top: str
    """The absolute path of the working tree."""
    commit: str | None
    """Hex; None if there are no commits yet, or a tree was named in place of one."""
    tree: str | None = None
    """Hex, of the tree that was named; None if it is the commit's."""

    def relative(self, path: Path) -> str:
        """A path from the top; "" for the top itself."""
        relative = path.relative_to(self.top).as_posix()
        return "" if relative == "." else relative


class TreeFile(NamedTuple):
    """A file, link or submodule in a tree of git."""

    mode: str
    oid: str
    """Hex."""


def repository_of(package: Package, part: GitTree) -> Repository:
    """The repository, and the commit there, of a part of a package's build context."""
    return Repository(part.repository or package.repository, part.commit or package.commit)


def top_of(directory: Path) -> Path | None:
    """The nearest directory, at or above this one, that has a .git; None outside git."""
    return next((at for at in (directory, *directory.parents) if (at / ".git").exists()), None)


def open_repository(top: Path, revision: str = "HEAD") -> Repository:
    """The repository whose working tree is `top`, at a commit."""
    with asking_repository(top, revision) as repository:
        return repository()


@contextmanager
def asking_repository(top: Path, revision: str) -> Iterator[Callable[[], Repository]]:
    """Start git as `open_repository` does, and yield what waits for its answer."""
    if not revision or revision.startswith("-"):
        raise GitError(f"{revision!r} is not a commit")
    with asking_git(str(top), "rev-parse", "--show-toplevel", f"{revision}^{{commit}}") as answer:
        yield lambda: _repository(top, revision, answer(b""))


def _repository(top: Path, revision: str, answer: Answer) -> Repository:
    # Not splitlines(): a path may contain characters that Python, but not git, takes for the end of a line.
    lines = os.fsdecode(answer.stdout).removesuffix("\n").split("\n")
    if not lines[0]:
        raise failed(f"{top}: git cannot read the repository", answer)
    if Path(lines[0]).resolve() != top.resolve():
        raise GitError(f"{top}: its core.worktree is another directory, {lines[0]}")
    if answer.returncode and revision == "HEAD":
        return Repository(lines[0], None)
    if answer.returncode and (tree := _tree_named(str(top), revision)):
        return Repository(lines[0], None, tree)
    if answer.returncode or len(lines) != len(("top", "commit")):
        raise GitError(
            f"{top}: {revision!r} is not a commit",
            hint="`git log` shows the commits; a shallow clone lacks some",
        )
    if not _COMMIT.fullmatch(lines[1]):
        raise GitError(f"{top}: its object format is sha256, and tags are made from sha1 hashes")
    return Repository(*lines)


def _tree_named(top: str, revision: str) -> str | None:
    found = ask_git(top, "rev-parse", "--verify", "--quiet", f"{revision}^{{tree}}").stdout.decode().strip()
    return found if _COMMIT.fullmatch(found) else None


def read_trees(repository: Repository, paths: Iterable[str]) -> dict[str, str]:
    """The tree hash of each directory at the repository's commit or tree; missing directories are left out.

    https://git-scm.com/docs/git-cat-file#_batch_output
    """
    wanted = list(dict.fromkeys(path for path in paths if "\n" not in path))
    root = repository.commit or repository.tree
    if not root or not wanted:
        return {}
    # A slash ends each name, because git strips a carriage return from the end of a line.
    names = "".join(f"{root}:{path and path + '/'}\n" for path in wanted)
    answer = checked_git(repository, "cat-file", "--batch-check=%(objecttype) %(objectname)", given=names)
    found = zip(wanted, map(_TREE.fullmatch, os.fsdecode(answer).split("\n")), strict=False)
    return {path: match[1] for path, match in found if match}


def is_shallow(top: str) -> bool:
    """Whether a clone lacks the beginning of its history."""
    return checked_git(Repository(top, None), "rev-parse", "--is-shallow-repository").strip() == b"true"


def tracked_files(repository: Repository, directory: str, *, untracked: bool = False) -> list[bytes]:
    """The tracked files below a directory, as paths from the top, in git's order; or untracked ones, too."""
    options = ["-z", *(("--cached", "--others", "--exclude-standard") if untracked else ())]
    answer = checked_git(repository, "--literal-pathspecs", "ls-files", *options, "--", directory or ".")
    return [path for path in answer.split(b"\0") if path]


def list_files(repository: Repository, directories: Iterable[str]) -> dict[bytes, TreeFile]:
    """The files, links and submodules below directories at the repository's commit, by path from the top.

    So are the .gitattributes of the directories above them.
    https://git-scm.com/docs/git-ls-tree#_output_format
    """
    wanted = dict.fromkeys(directories)
    above = {str(parent / ATTRIBUTES) for path in wanted for parent in PurePosixPath(path).parents}
    paths = [] if "" in wanted or len(wanted) > MOST_PATHS else [*(f"{path}/" for path in wanted), *above]
    command = ["ls-tree", "-r", "-z", "--full-tree", str(repository.commit), "--", *paths]
    answer = checked_git(repository, "--literal-pathspecs", *command)
    found = {}
    for record in answer.split(b"\0")[:-1]:
        columns, _, path = record.partition(b"\t")
        mode, _, oid = columns.decode().split()
        found[path] = TreeFile(mode, oid)
    return found


def common_directory(repository: Repository) -> Path:
    """The git directory, which all working trees of the repository share."""
    answer = checked_git(repository, "rev-parse", "--git-common-dir").removesuffix(b"\n")
    return Path(repository.top, os.fsdecode(answer))


def ignore_rule(path: Path) -> str | None:
    """The rule by which git ignores a file or directory, as FILE:LINE: PATTERN; None if it does not.

    Git also names a rule that makes an exception (!PATTERN).
    https://git-scm.com/docs/git-check-ignore#_output
    """
    command = ["check-ignore", "--verbose", "-z", "--stdin"]
    answer = ask_git(str(path.parent), *command, given=os.fsencode(path.name) + b"\0")
    source, line, pattern, *_ = (*answer.stdout.decode(errors="replace").split("\0"), "", "", "")
    ignored = answer.returncode == 0 and source and not pattern.startswith("!")
    return f"{source}:{line}: {pattern}" if ignored else None


def tags_on_head(directories: Iterable[str]) -> list[str]:
    """The git tags on HEAD of the repositories of these directories, sorted.

    Raises:
        InputError: the repositories have different tags, so none of them can be meant for all packages.
    """
    tops = dict.fromkeys(top_of(Path(directory).resolve()) for directory in directories)
    found = {top: _tags_on_head(top) if top else [] for top in tops}
    if len({tuple(tags) for tags in found.values()}) > 1:
        listed = (f"{top or 'outside git'}: {', '.join(tags) or 'none'}" for top, tags in found.items())
        raise InputError(
            f"the repositories of these packages have different tags on HEAD: {'; '.join(listed)}",
            hint=NAME_A_RELEASE,
        )
    return next(iter(found.values()), [])


def _tags_on_head(top: Path) -> list[str]:
    # The status is ignored: before the first commit there is no HEAD, so git fails and prints no tag.
    answer = ask_git(str(top), "tag", "--list", "--points-at", "HEAD")
    return sorted(answer.stdout.decode(errors="replace").splitlines())


class GitFiles(NamedTuple):
    """The content of files by name, and the targets of symbolic links that lead out of their tree."""

    contents: dict[str, bytes]
    links: dict[str, str]
    large: dict[str, int]
    """The sizes of those that are too large to be read."""


def read_files(top: str, names: Iterable[str], limit: int) -> GitFiles:
    """The content of files named COMMIT:PATH or TREE:PATH, of at most `limit` bytes; others are left out.

    Symbolic links are followed within the tree: https://git-scm.com/docs/git-cat-file#_batch_output
    """
    found = GitFiles({}, {}, {})
    wanted = []
    for name, head, target in _about(top, [name for name in dict.fromkeys(names) if "\n" not in name]):
        *_, kind, size = head.split(b" ")
        if kind == b"symlink":
            found.links[name] = target.decode(errors="replace")
        elif kind == b"blob" and int(size) > limit:
            found.large[name] = int(size)
        elif kind == b"blob":
            wanted.append(name)
    rest = _batch(top, "--batch", wanted) if wanted else b""
    for name in wanted:
        head, _, rest = rest.partition(b"\n")
        end = int(head.rpartition(b" ")[2])
        found.contents[name], rest = rest[:end], rest[end + 1 :]
    return found


def _about(top: str, names: Sequence[str]) -> Iterator[tuple[str, bytes, bytes]]:
    """What git says about each name in one line, and the target of a link that leads out of its tree."""
    rest = _batch(top, "--batch-check", names) if names else b""
    for name in names:
        head, _, rest = rest.partition(b"\n")
        kind, _, size = head.partition(b" ")
        target = b""
        if kind in _WITH_PATH and size.isdigit():
            target, rest = rest[: int(size)], rest[int(size) + 1 :]
        yield name, head, target


def _batch(top: str, kind: str, names: Sequence[str]) -> bytes:
    lines = "".join(f"{name}\n" for name in names)
    return checked_git(Repository(top, None), "cat-file", kind, "--follow-symlinks", given=lines)


def read_at(repository: Repository, paths: Iterable[str], limit: int = LONGEST) -> dict[str, bytes]:
    """The content of files at the repository's commit by path; those not there, or larger, are left out."""
    names = {f"{repository.commit}:{path}": path for path in paths}
    return {names[name]: text for name, text in read_files(repository.top, names, limit).contents.items()}


def committed_at(repository: Repository, paths: Iterable[str]) -> set[str]:
    """Those of the paths that are files at the repository's commit; their content is not read."""
    names = {f"{repository.commit}:{path}": path for path in paths if "\n" not in path}
    return {names[name] for name, head, _ in _about(repository.top, [*names]) if _BLOB.fullmatch(head)}


def checked_git(
    repository: Repository,
    *command: str,
    given: str = "",
    environment: Mapping[str, str] | None = None,
    configuration: Configuration = (),
) -> bytes:
    """What git prints, which must succeed."""
    with asking_checked_git(
        repository, *command, environment=environment, configuration=configuration
    ) as answer:
        return answer(os.fsencode(given))


@contextmanager
def asking_checked_git(
    repository: Repository,
    *command: str,
    environment: Mapping[str, str] | None = None,
    configuration: Configuration = (),
) -> Iterator[Callable[[bytes], bytes]]:
    """Start git as `checked_git` does, and yield what gives it its input and waits for its answer."""
    with asking_git(repository.top, *command, environment=environment, configuration=configuration) as answer:
        yield lambda given: _checked(f"{repository.top}: git {' '.join(command[:3])} failed", answer(given))


def _checked(complaint: str, answer: Answer) -> bytes:
    if answer.returncode:
        raise failed(complaint, answer)
    return answer.stdout
