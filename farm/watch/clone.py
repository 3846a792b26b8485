"""The watch's clone of a repository, with a checkout for each head; it runs nothing that a commit names."""

from __future__ import annotations

import base64
import hashlib
import os
import re
import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from farm.errors import GitError, GitUnavailableError
from farm.settings import environment
from farm.syntax.printable import one_line
from farm.system.files import make_private, temporary_directory
from farm.watch.heads import COMMIT

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from farm.settings import Secret
    from farm.watch.children import Children, Ended

_FETCH_TIMEOUT, _LOCAL_TIMEOUT = 1800.0, 300.0
"""Seconds: the first fetch of a large repository over a slow line; what git does on this disk."""
_LARGEST_COMMIT, _LARGEST_LOOK = 1 << 20, 64 << 20
"""Bytes of a commit object, and of what a fork may make the watch fetch before it is known who signed it."""
_REF = re.compile(r"refs/[!-~]+", re.ASCII)
_CONFIGURATION = {
    "core.hooksPath": os.devnull,
    "core.fsmonitor": "false",
    "submodule.recurse": "false",
    "fetch.recurseSubmodules": "false",
    "advice.detachedHead": "false",
}
"""https://git-scm.com/docs/git-config."""
_USERS = {"github.com": "x-access-token", "gitlab.com": "oauth2"}
"""The account names that go with a token; other forges take any."""


class Clone:
    """A clone in a directory of this watch; its user holds the watch's lock.

    Every method raises GitUnavailableError if the repository or this machine's disk does not do it now.
    """

    def __init__(
        self,
        directory: Path,
        url: str,
        children: Children,
        token: Secret | None = None,
        *,
        largest_look: int = _LARGEST_LOOK,
    ) -> None:
        """Work in a directory; `largest_look` are the most bytes that `look_at` fetches."""
        self._directory, self._url, self._children = directory, url, children
        self._largest_look = largest_look
        self._repository = directory / "repository"
        self._local = environment() | _variables(_CONFIGURATION)
        self._remote = environment() | _variables(_CONFIGURATION | _login(url, token))

    def prepare(self) -> None:
        """Create the clone if it is missing, and remove what a killed git left there."""
        make_private(self._directory)
        if not (self._repository / "HEAD").exists():
            shutil.rmtree(self._repository, ignore_errors=True)
            self._git("init", "-q", "--bare", str(self._repository))
        for left in (*self._repository.rglob("*.lock"), *self._repository.glob("objects/pack/tmp_*")):
            left.unlink()

    def newest(self, refs: Iterable[str]) -> dict[str, str]:
        """The commit of each of these refs that the repository has, by one request."""
        refs = list(refs)
        answer = self._git("ls-remote", "--", self._url, *refs, remote=True)
        lines = (line.split("\t") for line in answer.decode(errors="replace").splitlines())
        found = {parts[1]: parts[0] for parts in lines if len(parts) == 2}  # noqa: PLR2004 - commit and ref
        return {ref: found[ref] for ref in refs if COMMIT.fullmatch(found.get(ref, ""))}

    def fetch(self, ref: str, *, into: str = "") -> str:
        """Fetch a ref; returns its commit, which may be newer than the one that was asked for.

        One thread at a time may do so for a ref, or for a place of its own: `into`.
        """
        own = f"refs/watch/{_name(into or ref)}"
        self._git(
            *(
                "fetch",
                "-q",
                "--no-tags",
                "--no-write-fetch-head",
                "--",
                self._url,
                f"+{_checked(ref)}:{own}",
            ),
            timeout=_FETCH_TIMEOUT,
            remote=True,
        )
        return self._commit_of(self._repository, own)

    def read_commit(self, commit: str) -> bytes:
        """The commit object that was fetched, as git stores it."""
        return self._read(self._repository, commit)

    def look_at(self, ref: str) -> tuple[str, bytes]:
        """The commit of a ref and its object, without its files and without keeping anything of it."""
        with temporary_directory(self._directory / "looks", prefix="look-") as place:
            self._git("init", "-q", "--bare", str(place))
            words = ("fetch", "-q", "--no-tags", "--depth=1", "--filter=tree:0")
            # A server that does not filter sends everything: no more of it than fits into the limit.
            limit = ("prlimit", f"--fsize={self._largest_look}")
            self._git(
                *(*words, "--", self._url, f"+{_checked(ref)}:refs/look"),
                timeout=_FETCH_TIMEOUT,
                remote=True,
                repository=place,
                before=limit,
            )
            commit = self._commit_of(place, "refs/look")
            return commit, self._read(place, commit)

    @contextmanager
    def checked_out(self, ref: str, commit: str) -> Iterator[Path]:
        """A directory with the files of a commit, and nothing else; one at a time for each ref."""
        place = self._directory / "checkouts" / _name(ref)
        make_private(place.parent)
        shutil.rmtree(place, ignore_errors=True)
        self._git("worktree", "prune")
        self._git("worktree", "add", "-q", "--force", "--detach", str(place), commit)
        try:
            yield place
        finally:
            shutil.rmtree(place, ignore_errors=True)

    def forget(self, refs: Iterable[str]) -> None:
        """Remove the commits of all refs but these, which may be places to fetch into, too."""
        kept = {_name(ref) for ref in refs}
        listed = self._git("for-each-ref", "--format=%(refname)", "refs/watch/").decode().split()
        gone = [ref for ref in listed if ref.removeprefix("refs/watch/") not in kept]
        for ref in gone:
            self._git("update-ref", "-d", ref)
        if gone:
            self._git("worktree", "prune")
            self._git("gc", "-q", "--auto", "--prune=1.day.ago", timeout=_FETCH_TIMEOUT)

    def _commit_of(self, repository: Path, ref: str) -> str:
        words = ("rev-parse", "--verify", f"{ref}^{{commit}}")
        return self._git(*words, repository=repository).decode().strip()

    def _read(self, repository: Path, commit: str) -> bytes:
        if int(self._git("cat-file", "-s", commit, repository=repository)) > _LARGEST_COMMIT:
            raise GitError(f"{commit}: the commit object has more than {_LARGEST_COMMIT} bytes")
        return self._git("cat-file", "commit", commit, repository=repository)

    def _git(
        self,
        *words: str,
        timeout: float = _LOCAL_TIMEOUT,
        remote: bool = False,
        repository: Path | None = None,
        before: tuple[str, ...] = (),
    ) -> bytes:
        where = [] if words[0] == "init" else ["--git-dir", str(repository or self._repository)]
        what = f"{shown(self._url)}: git {words[0]}"
        done = self._children.run(
            [*before, "git", *where, *words],
            timeout=timeout,
            late=GitUnavailableError(f"{what} took longer than {timeout:.0f} s"),
            environment=self._remote if remote else self._local,
        )
        if done.code:
            raise _failed(what, done, remote=remote)
        return done.output


def shown(url: str) -> str:
    """A URL without its login."""
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl() if parts.password else url


def _checked(ref: str) -> str:
    if not _REF.fullmatch(ref):
        raise GitError(f"{ref!r}: is not the name of a ref")
    return ref


def _name(ref: str) -> str:
    """A name that no other ref has, whatever their characters."""
    return hashlib.sha256(ref.encode()).hexdigest()[:32]


def _failed(what: str, done: Ended, *, remote: bool) -> GitError:
    lines = done.messages.decode(errors="replace").strip().splitlines()
    said = one_line(lines[0].removeprefix("fatal: ")) if lines else f"status {done.code}"
    hint = "can `git ls-remote` read it as this user?" if remote else "is there space on the disk?"
    return GitUnavailableError(f"{what}: {said}", hint=hint)


def _login(url: str, token: Secret | None) -> dict[str, str]:
    """Configuration that sends the token to the repository's own host, and to no other."""
    parts = urlsplit(url)
    if token is None or parts.scheme not in ("http", "https"):
        return {}
    user = _USERS.get(parts.hostname or "", "oauth2")
    login = base64.b64encode(f"{user}:{token.reveal()}".encode()).decode()
    return {
        f"http.{parts.scheme}://{parts.netloc}/.extraHeader": f"Authorization: Basic {login}",
        # git would send the header to where it is redirected, too.
        "http.followRedirects": "false",
    }


def _variables(configuration: Mapping[str, str]) -> dict[str, str]:
    """Variables with which git asks nobody."""
    found = {
        "GIT_TERMINAL_PROMPT": "0",
        # The user's git may have LFS, which would ask whatever server a commit names.
        "GIT_LFS_SKIP_SMUDGE": "1",
        "GIT_ALLOW_PROTOCOL": "file:git:http:https:ssh",
        "GIT_CONFIG_COUNT": str(len(configuration)),
    }
    for number, (key, value) in enumerate(configuration.items()):
        found |= {f"GIT_CONFIG_KEY_{number}": key, f"GIT_CONFIG_VALUE_{number}": value}
    return found
