"""Where a redirect leads, and what the next request carries."""

from __future__ import annotations

import pytest

from farm.registry.http_exchange import HttpRequest

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
    sent = HttpRequest("GET", url, LOGIN).redirected(307, location)
    assert sent.url.endswith("/other")
    assert ("Authorization" in sent.headers, sent.headers["Accept"]) == (kept, "y")


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
    before = HttpRequest(method, "https://a.org/", UPLOAD, lambda: iter([b"abc"]))
    sent = before.redirected(status, "/b")
    # The body is the function itself: it starts anew.
    assert (sent.method, sent.body) == (after, before.body if after == method else None)
    assert ("Content-Length" in sent.headers) is (after == method)
