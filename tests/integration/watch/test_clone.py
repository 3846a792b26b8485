"""The clone of a watch, over git's protocol for HTTP: private ones, and how little is fetched of forks."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from farm.errors import GitUnavailableError
from farm.settings import Secret
from farm.watch.children import Children
from farm.watch.clone import Clone
from tests.support.git_repos import git, make_repository
from tests.support.git_server import private_repository

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MAIN, TOKEN = "refs/heads/main", "token-of-the-watch"


@pytest.fixture
def origin(tmp_path: Path) -> Path:
    made = make_repository(tmp_path / "origin")
    (made / "file").write_text("content")
    git(made, "add", ".")
    git(made, "commit", "-qm", "first")
    git(made, "config", "uploadpack.allowFilter", "true")
    return made


@pytest.fixture
def url(origin: Path) -> Iterator[str]:
    with private_repository(origin, TOKEN) as url:
        yield url


def clone_of(url: str, directory: Path, token: str | None) -> Clone:
    clone = Clone(directory, url, Children(), Secret(token) if token else None)
    clone.prepare()
    return clone


def test_the_token_opens_a_private_repository(origin: Path, url: str, tmp_path: Path) -> None:
    head = git(origin, "rev-parse", "HEAD").decode()
    clone = clone_of(url, tmp_path / "watch", TOKEN)
    assert clone.newest([MAIN, "refs/heads/absent"]) == {MAIN: head}
    commit, content = clone.look_at(MAIN)
    assert (commit, content.splitlines()[-1]) == (head, b"first")
    assert clone.fetch(MAIN) == head
    with clone.checked_out(MAIN, head) as place:
        assert (place / "file").read_text() == "content"
    assert not place.exists()


@pytest.mark.parametrize("token", [None, "guessed"])
def test_without_the_token_nobody_is_asked_and_it_is_an_error(
    url: str, tmp_path: Path, token: str | None
) -> None:
    with pytest.raises(GitUnavailableError, match="git ls-remote"):
        clone_of(url, tmp_path / "watch", token).newest([MAIN])


def test_of_a_fork_only_the_commit_is_fetched_before_its_signature_is_checked(
    origin: Path, url: str, tmp_path: Path
) -> None:
    (origin / "large").write_bytes(os.urandom(2 << 20))
    git(origin, "add", ".")
    git(origin, "commit", "-qm", "large")
    clone = Clone(tmp_path / "watch", url, Children(), Secret(TOKEN), largest_look=1 << 20)
    clone.prepare()
    _, content = clone.look_at(MAIN)
    assert content.endswith(b"large\n")
    # A server that does not filter sends all of it, which is too much.
    git(origin, "config", "uploadpack.allowFilter", "false")
    with pytest.raises(GitUnavailableError, match="git fetch"):
        clone.look_at(MAIN)


def test_what_is_no_longer_watched_is_forgotten(origin: Path, url: str, tmp_path: Path) -> None:
    git(origin, "update-ref", "refs/pull/1/head", "HEAD")
    clone = clone_of(url, tmp_path / "watch", TOKEN)
    for ref in (MAIN, "refs/pull/1/head"):
        clone.fetch(ref)
    clone.forget([MAIN])
    listed = git(tmp_path / "watch" / "repository", "for-each-ref", "--format=%(refname)")
    assert len(listed.splitlines()) == 1
