"""Whoever writes commits and refs of a watched repository decides nothing without a maintainer's key."""

from __future__ import annotations

import subprocess
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from farm.errors import GitError, GitUnavailableError, TrustDeniedError
from farm.settings import Secret
from farm.trust.policy import Maintainer, Policy
from farm.trust.ssh_signatures import ORDER_NAMESPACE, public_key
from farm.watch.allowed import signer
from farm.watch.children import Children
from farm.watch.clone import Clone
from tests.support.git_repos import git, make_repository
from tests.support.hostile_server import hostile_server, reply
from tests.support.ssh_keys import keygen

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.hostile_server import Asked, HostileServer


@pytest.fixture
def key(tmp_path: Path) -> Path:
    return keygen(tmp_path / "key")


@pytest.fixture
def policy(key: Path) -> Policy:
    return Policy((Maintainer("me", public_key(key), ("**",)),))


@pytest.fixture
def repository(tmp_path: Path, key: Path) -> Path:
    """A repository whose newest commit is signed."""
    made = make_repository(tmp_path / "origin")
    (made / "file").write_text("content")
    git(made, "add", ".")
    git(made, "-c", "gpg.format=ssh", "-c", f"user.signingkey={key}", "commit", "-q", "-S", "-m", "signed")
    return made


def commit_of(repository: Path) -> bytes:
    return git(repository, "cat-file", "commit", "HEAD") + b"\n"


def test_a_commit_that_git_signed_names_its_maintainer(repository: Path, policy: Policy) -> None:
    assert signer(commit_of(repository), policy).name == "me"


def test_a_commit_that_was_changed_after_it_was_signed_is_refused(repository: Path, policy: Policy) -> None:
    commit = commit_of(repository)
    tree = git(repository, "rev-parse", "HEAD^{tree}")
    for changed in (
        commit.replace(tree, b"4b825dc642cb6eb9a060e54bf8d69288fbee4904"),
        commit.replace(b"signed\n", b"signed\nmore\n"),
        commit.replace(b"author a", b"author b"),
        commit.replace(b"\ngpgsig", b"\nencoding latin1\ngpgsig"),
    ):
        assert changed != commit
        with pytest.raises(TrustDeniedError, match="signature of the commit is not valid"):
            signer(changed, policy)


def test_a_signature_in_the_message_is_none(repository: Path, policy: Policy) -> None:
    head, _, message = commit_of(repository).partition(b"\n\n")
    start = head.index(b"gpgsig ")
    moved = head[:start].rstrip(b"\n") + b"\n\n" + head[start:] + b"\n" + message
    with pytest.raises(TrustDeniedError, match="no SSH signature"):
        signer(moved, policy)


def test_keys_that_the_policy_does_not_name_or_has_ended_do_not_count(
    repository: Path, policy: Policy
) -> None:
    commit = commit_of(repository)
    with pytest.raises(TrustDeniedError, match="not in the policy"):
        signer(commit, Policy())
    ended = replace(policy.maintainers[0], until=time.time() - 1)
    with pytest.raises(TrustDeniedError, match="not in the policy"):
        signer(commit, Policy((ended,)))


def test_the_signature_of_an_order_over_the_same_bytes_is_refused(
    repository: Path, policy: Policy, key: Path
) -> None:
    git(repository, "commit", "-q", "--amend", "-m", "unsigned", "--no-gpg-sign")
    commit = commit_of(repository)
    command = ["ssh-keygen", "-q", "-Y", "sign", "-f", str(key), "-n", ORDER_NAMESPACE]
    signature = subprocess.run(command, input=commit, capture_output=True, check=True).stdout
    head, _, message = commit.partition(b"\n\n")
    header = b"gpgsig " + signature.strip().replace(b"\n", b"\n ")
    with pytest.raises(TrustDeniedError, match="was not made for a commit"):
        signer(head + b"\n" + header + b"\n\n" + message, policy)


def test_nothing_that_a_repository_names_is_run_by_fetch_and_checkout(
    repository: Path, tmp_path: Path
) -> None:
    """Hooks, filters and submodules of a commit; a ref that looks like an option is refused."""
    proof = tmp_path / "proof"
    (repository / ".gitattributes").write_text("* filter=evil\n")
    (repository / ".gitmodules").write_text(
        f'[submodule "x"]\n path = x\n url = "ext::sh -c touch% {proof}"\n update = !touch {proof}\n'
    )
    hooks = repository / ".githooks"
    hooks.mkdir()
    (hooks / "post-checkout").write_text(f"#!/bin/sh\ntouch {proof}\n")
    (hooks / "post-checkout").chmod(0o755)
    git(repository, "add", ".")
    git(repository, "commit", "-qm", "hostile")
    clone = Clone(tmp_path / "watch", str(repository), Children())
    clone.prepare()
    commit = clone.fetch("refs/heads/main")
    with clone.checked_out("refs/heads/main", commit) as place:
        assert (place / "file").read_text() == "content"
    assert not proof.exists()
    for ref in ("--upload-pack=touch", "refs/heads/ x", ""):
        with pytest.raises(GitError):
            clone.fetch(ref)
    with pytest.raises(GitError):
        Clone(tmp_path / "other", f"ext::sh -c touch% {proof}", Children()).newest(["refs/heads/main"])
    assert not proof.exists()


def test_the_token_is_sent_to_no_host_to_which_the_repository_redirects(tmp_path: Path) -> None:
    with hostile_server(lambda _server, _asked: reply(b"", 404)) as elsewhere:

        def redirect(_server: HostileServer, asked: Asked) -> list[bytes]:
            return reply(b"", 302, Location=f"http://{elsewhere.address}{asked.path}")

        with hostile_server(redirect) as server:
            url = f"http://{server.address}/me/os.git"
            clone = Clone(tmp_path / "watch", url, Children(), Secret("token-of-the-watch"))
            with pytest.raises(GitUnavailableError):
                clone.newest(["refs/heads/main"])
            assert any("authorization" in one.headers for one in server.asked)
        assert elsewhere.asked == []


def test_a_clone_whose_git_was_killed_is_used_again(repository: Path, tmp_path: Path) -> None:
    clone = Clone(tmp_path / "watch", str(repository), Children())
    clone.prepare()
    clone.fetch("refs/heads/main")
    for left in ("refs/watch/x.lock", "packed-refs.lock", "config.lock", "objects/pack/tmp_pack_1"):
        (tmp_path / "watch" / "repository" / left).touch()
    clone.prepare()
    (repository / "more").write_text("more")
    git(repository, "add", ".")
    git(repository, "commit", "-qm", "more")
    commit = clone.fetch("refs/heads/main")
    for _ in range(2):
        with clone.checked_out("refs/heads/main", commit) as place:
            assert (place / "more").exists()
