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


def test_a_registry_may_ask_for_a_pause_in_seconds_or_until_a_date() -> None:
    """https://www.rfc-editor.org/rfc/rfc9110.html#name-retry-after."""
    assert requested_pause("120") == 120
    assert 118 <= (requested_pause(formatdate(time.time() + 120, usegmt=True)) or 0) <= 120
    assert requested_pause(formatdate(time.time() - 120, usegmt=True)) == 0
    assert [requested_pause(text) for text in ("", "soon", "-1", "1e3", "٣")] == [None] * 5
