"""The proxies that the environment names, and the hosts that NO_PROXY exempts from them."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from urllib.parse import urlsplit

from farm.registry.urls import DEFAULT_PORTS


@dataclass(frozen=True, slots=True)
class Proxies:
    """The values of HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY."""

    by_scheme: dict[str, str]
    """http, https or all, to the URL of a proxy."""
    exempt: tuple[str, ...] = ()
    """The entries of NO_PROXY."""

    @staticmethod
    def from_environment() -> Proxies:
        """The proxies of this process: *_proxy in either case; on macOS those of the system as well."""
        from urllib.request import getproxies  # noqa: PLC0415 - a registry on loopback needs no proxies

        found = getproxies()
        urls = {scheme: found[scheme] for scheme in ("http", "https", "all") if found.get(scheme)}
        exempt = tuple(filter(None, (word.strip() for word in found.get("no", "").split(","))))
        return Proxies(
            {scheme: url if "://" in url else f"http://{url}" for scheme, url in urls.items()}, exempt
        )

    def for_url(self, url: str) -> str | None:
        """The URL of the proxy that a request goes through; None for a direct connection."""
        if any(entry == "*" or _exempts(entry, url) for entry in self.exempt):
            return None
        return self.by_scheme.get(urlsplit(url).scheme) or self.by_scheme.get("all")


def _exempts(entry: str, url: str) -> bool:
    """Whether an entry of NO_PROXY matches a URL.

    `example.com` matches the domain and all below it, `.example.com` only what is below it; addresses,
    `localhost` and entries with a scheme match exactly. An entry may have a port. Networks such as 10.0.0.0/8
    are not supported. curl's rules are the model: https://curl.se/libcurl/c/CURLOPT_NOPROXY.html
    """
    target = urlsplit(url)
    scheme, separator, place = entry.rpartition("://")
    try:
        pattern = urlsplit(f"//[{place}]" if _is_address(place) and ":" in place else f"//{place}")
        port = pattern.port
    except ValueError:  # a malformed entry exempts nothing
        return False
    if separator and scheme not in ("all", target.scheme):
        return False
    # A default port counts as no port.
    if port not in (None, target.port if target.port != DEFAULT_PORTS.get(target.scheme) else None):
        return False
    host, domain = target.hostname or "", pattern.hostname or ""
    if domain == "localhost" or _is_address(domain) or (separator and not domain.startswith("*")):
        return host == domain
    domain = domain.removeprefix("*") if separator else domain
    return host.endswith(domain) if domain.startswith(".") else host == domain or host.endswith(f".{domain}")


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
