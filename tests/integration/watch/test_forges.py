"""The clients of the forges, over HTTP: what they read, what they report, and how they fail."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from farm.errors import ForgeDeniedError, ForgeError, ForgeUnavailableError
from farm.settings import Secret
from farm.watch.forge import ForgeKind, Project, make_forge
from farm.watch.heads import Head, Outcome, Status
from tests.support.forge import TOKEN, running_forge
from tests.support.hostile_server import hostile_server, reply

if TYPE_CHECKING:
    from collections.abc import Iterator

    from farm.watch.forge import Forge
    from tests.support.forge import Forge as Server

COMMIT, OTHER = "1" * 40, "2" * 40


@pytest.fixture(params=ForgeKind)
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    with running_forge(request.param) as server:
        yield server


def client(server: Server, token: str = TOKEN) -> Forge:
    kind = ForgeKind(server.kind)
    return make_forge(kind, Project(server.url, "me/os"), Secret(token))


def test_a_branch_is_protected_if_the_forge_says_so(server: Server) -> None:
    server.protected = {"main", "release/1"}
    forge = client(server)
    assert [forge.is_protected(one) for one in ("main", "release/1", "work")] == [True, True, False]


def test_pull_requests_say_whether_members_pushed_them(server: Server) -> None:
    server.pulls = [(7, COMMIT, True), (8, OTHER, False), (9, "not a commit", True), (0, COMMIT, True)]
    where = "merge-requests" if server.kind == "gitlab" else "pull"
    assert client(server).pull_requests(["main"]) == [
        Head(f"refs/{where}/7/head", COMMIT, 7, "main", "topic-7"),
        Head(f"refs/{where}/8/head", OTHER, 8, "main"),
    ]
    assert client(server).pull_requests(["other"]) == []


def test_every_outcome_is_accepted_and_the_same_one_twice(server: Server) -> None:
    forge = client(server)
    for outcome in Outcome:
        for _ in range(2):
            forge.report(
                Head("refs/heads/main", COMMIT), Status(outcome, "x" * 500, "https://farm.example.org")
            )
    known = dict.fromkeys(server.of(COMMIT))
    assert len(known) == (3 if server.kind == "gitlab" else 4)
    assert set(server.links) == {"https://farm.example.org"}


def test_a_forge_that_is_away_may_answer_later_and_a_wrong_token_is_named(server: Server) -> None:
    with pytest.raises(ForgeDeniedError, match="refused the token: 401"):
        client(server, "guessed").is_protected("main")
    server.away = True
    with pytest.raises(ForgeUnavailableError, match="cannot answer now: 503") as caught:
        client(server).is_protected("main")
    assert caught.value.retryable
    server.away = False
    with pytest.raises(ForgeUnavailableError, match="does not answer"):
        make_forge(ForgeKind.GITEA, Project("http://127.0.0.1:1", "me/os"), None).is_protected("main")


@pytest.mark.parametrize(
    ("answer", "error", "words"),
    [
        (reply(b"no JSON"), ForgeError, "the answer is not JSON"),
        (reply(b"{}", 404), ForgeError, "the forge does not have it"),
        (reply(b"", 302, Location="http://127.0.0.1:1/steal"), ForgeError, "302"),
        (reply(b'{"message": "API rate limit exceeded"}', 403), ForgeUnavailableError, "403"),
        (reply(b'{"message": "no"}', 403), ForgeDeniedError, "refused the token: 403"),
    ],
)
def test_an_answer_that_is_none_is_an_error_and_no_redirect_gets_the_token(
    answer: list[bytes], error: type[ForgeError], words: str
) -> None:
    with hostile_server(lambda _server, _asked: answer) as server:
        forge = make_forge(ForgeKind.GITEA, Project(f"http://{server.address}", "me/os"), Secret(TOKEN))
        with pytest.raises(error, match=words):
            forge.is_protected("main")


@pytest.mark.parametrize("found", [None, [], "text", {"protected": "yes"}, {"protected": 1}])
def test_only_true_means_protected(found: Any) -> None:
    with hostile_server(lambda _server, _asked: reply(json.dumps(found).encode())) as server:
        forge = make_forge(ForgeKind.GITEA, Project(f"http://{server.address}", "me/os"), Secret(TOKEN))
        assert forge.is_protected("main") is False
