"""Which proxy a request goes through, by HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY."""

from __future__ import annotations

import pytest

from farm.registry.proxies import Proxies

PROXY = "http://proxy:3128"


@pytest.mark.parametrize(
    ("entry", "exempted", "others"),
    [
        ("example.com", ["example.com", "www.example.com", "example.com:8443"], ["notexample.com"]),
        (".example.com", ["www.example.com"], ["example.com"]),
        ("EXAMPLE.com", ["example.com"], []),
        ("example.com:8443", ["example.com:8443"], ["example.com"]),
        ("10.0.0.1", ["10.0.0.1", "10.0.0.1:5000"], ["10.0.0.10", "110.0.0.1"]),
        ("10.0.0.0/8", [], ["10.0.0.1"]),
        ("::1", ["[::1]", "[::1]:5000"], ["[::2]"]),
        ("localhost", ["localhost:5000"], ["x.localhost"]),
        ("https://example.com", ["example.com"], ["www.example.com"]),
        ("http://example.com", [], ["example.com"]),
        ("*", ["example.com", "10.0.0.1"], []),
        ("example.com:port", [], ["example.com"]),
    ],
)
def test_no_proxy_exempts_hosts(entry: str, exempted: list[str], others: list[str]) -> None:
    proxies = Proxies({"https": PROXY}, (entry,))
    assert [proxies.for_url(f"https://{host}/v2/") for host in exempted] == [None] * len(exempted)
    assert [proxies.for_url(f"https://{host}/v2/") for host in others] == [PROXY] * len(others)


def test_a_scheme_has_its_own_proxy_or_that_of_all() -> None:
    proxies = Proxies({"https": PROXY, "all": "http://other:1"})
    assert (proxies.for_url("https://a.org"), proxies.for_url("http://a.org")) == (PROXY, "http://other:1")
    assert Proxies({"http": PROXY}).for_url("https://a.org") is None


def test_the_environment_is_read_in_either_case_and_a_scheme_may_be_left_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("https_proxy", "proxy:3128")
    monkeypatch.setenv("HTTP_PROXY", "http://other:1")
    monkeypatch.setenv("NO_PROXY", "a.org, b.org ,")
    proxies = Proxies.from_environment()
    assert (proxies.by_scheme["https"], proxies.by_scheme["http"]) == (PROXY, "http://other:1")
    assert proxies.exempt == ("a.org", "b.org")
