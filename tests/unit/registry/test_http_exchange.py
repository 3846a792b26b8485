"""Where a redirect leads, what the next request carries, and for how long a registry wants none."""

from __future__ import annotations

import time
from email.utils import formatdate

import pytest

from farm.registry.http_exchange import HttpRequest
from farm.registry.http_failures import requested_pause

LOGIN = {"Authorization": "Basic x", "Accept": "y"}
UPLOAD = {"Content-Length": "3", "Content-Type": "z"}


@pytest.mark.parametrize(
    ("url", "location", "kept"),
    [
        ("https://a.org/v2/", "/other", True),
        ("https://a.org/v2/", "https://a.org:443/other", True),
        ("https://a.org/v2/", "https://b.org/other", False),
        ("https://a.org/v2/", "https://a.org:8443/other", False),
        (r"https://a.org\@b.org/", "https://b.org/other", False),
        ("https://b.org/v2/", r"https://a.org\@b.org/other", False),
        ("http://a.org/v2/", "https://a.org/other", True),
        ("http://a.org:5000/v2/", "https://a.org/other", False),
    ],
)
def test_a_login_stays_with_its_origin(url: str, location: str, kept: bool) -> None:
    sent = HttpRequest("GET", url, LOGIN).redirected(307, location)
    assert sent.url.endswith("/other")
    assert ("Authorization" in sent.headers, sent.headers["Accept"]) == (kept, "y")


@pytest.mark.parametrize(
    "location", ["http://a.org/other", "http://b.org/", "ftp://a.org/", "file:///etc/passwd"]
)
def test_a_redirect_never_leaves_https(location: str) -> None:
    with pytest.raises(ValueError, match="from https to"):
        HttpRequest("GET", "https://a.org/v2/").redirected(307, location)


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_request_for_a_token_is_not_redirected_to_another_origin(status: int) -> None:
    request = HttpRequest("POST", "https://a.org/token", body=b"refresh_token=x", has_secret=True)
    assert request.redirected(status, "/other").url == "https://a.org/other"
    with pytest.raises(ValueError, match="must not get the login"):
        request.redirected(status, "https://b.org/token")


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


def test_a_registry_may_ask_for_a_pause_in_seconds_or_until_a_date() -> None:
    """https://www.rfc-editor.org/rfc/rfc9110.html#name-retry-after."""
    assert requested_pause("120") == 120
    assert 118 <= (requested_pause(formatdate(time.time() + 120, usegmt=True)) or 0) <= 120
    assert requested_pause(formatdate(time.time() - 120, usegmt=True)) == 0
    assert [requested_pause(text) for text in ("", "soon", "-1", "1e3", "٣")] == [None] * 5
