"""URLs of registries: origin, name and account."""

from __future__ import annotations

import base64
from urllib.parse import unquote, urlsplit

DEFAULT_PORTS = {"http": 80, "https": 443}


def origin(url: str) -> tuple[str, str, int | None]:
    """Scheme, host and port of a URL; a login is never sent to another origin.

    Raises:
        ValueError: the port is no number.
    """
    parts = urlsplit(url)
    return parts.scheme, parts.hostname or "", parts.port or DEFAULT_PORTS.get(parts.scheme)


def authority(url: str) -> str:
    """HOST[:PORT] of a URL, as a registry is named: without a login and without the default port."""
    scheme, host, port = origin(url)
    name = f"[{host}]" if ":" in host else host
    return name if port in (None, DEFAULT_PORTS.get(scheme)) else f"{name}:{port}"


def url_login(url: str) -> str | None:
    """The Authorization header of a URL that contains an account, such as https://USER:PASSWORD@mirror."""
    parts = urlsplit(url)
    if not (parts.username or parts.password):
        return None
    account = ":".join(unquote(word or "") for word in (parts.username, parts.password))
    return f"Basic {base64.b64encode(account.encode()).decode()}"
