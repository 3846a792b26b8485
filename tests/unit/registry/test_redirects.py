"""Where a redirect leads, and what the next request carries."""

from __future__ import annotations

import pytest

from farm.registry.redirects import Hop, redirected

LOGIN = {"Authorization": "Basic x", "Accept": "y"}
UPLOAD = {"Content-Length": "3", "Content-Type": "z"}


@pytest.mark.parametrize(
    ("url", "location", "kept"),
    [
        ("https://a.org/v2/", "/other", True),
        ("https://a.org/v2/", "https://a.org:443/other", True),
        ("https://a.org/v2/", "https://b.org/other", False),
        ("https://a.org/v2/", "https://a.org:8443/other", False),
        ("https://a.org/v2/", "http://a.org/other", False),
        ("http://a.org/v2/", "https://a.org/other", True),
        ("http://a.org:5000/v2/", "https://a.org/other", False),
    ],
)
def test_a_login_stays_with_its_origin(url: str, location: str, kept: bool) -> None:
    hop = redirected(Hop("GET", url, LOGIN), 307, location)
    assert hop
    assert hop.url.endswith("/other")
    assert ("Authorization" in hop.headers, hop.headers["Accept"]) == (kept, "y")


@pytest.mark.parametrize(
    ("method", "status", "after"),
    [
        ("GET", 302, "GET"),
        ("HEAD", 303, "HEAD"),
        ("PUT", 301, "PUT"),
        ("POST", 301, "GET"),
        ("POST", 302, "GET"),
        ("PUT", 303, "GET"),
        ("PUT", 307, "PUT"),
        ("POST", 308, "POST"),
    ],
)
def test_a_request_that_becomes_a_get_has_no_body(method: str, status: int, after: str) -> None:
    hop = redirected(Hop(method, "https://a.org/", UPLOAD, b"abc"), status, "/b")
    assert hop
    assert (hop.method, hop.content()) == (after, b"abc" if after == method else None)
    assert ("Content-Length" in hop.headers) is (after == method)


def test_a_body_is_sent_from_its_start_again() -> None:
    hop = redirected(Hop("PUT", "https://a.org/", {}, lambda: iter([b"abc"])), 307, "/b")
    assert hop
    assert [list(hop.content() or ()) for _ in range(2)] == [[b"abc"]] * 2


@pytest.mark.parametrize(("status", "location"), [(200, "/b"), (202, "/b"), (304, "/b"), (307, None)])
def test_other_responses_are_not_redirects(status: int, location: str | None) -> None:
    assert redirected(Hop("GET", "https://a.org/", {}), status, location) is None
