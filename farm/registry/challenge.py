"""Answers to a registry's challenge: which Authorization header it asks for, and how a token is requested."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlencode

from farm.errors import RegistryError
from farm.model import DEFAULT_REGISTRY
from farm.model.strict_json import json_object
from farm.registry.connections import DOCKER_HUB
from farm.registry.http_exchange import HttpRequest, authority, origin, split

if TYPE_CHECKING:
    from collections.abc import Iterable

    from farm.registry.credentials import Login
    from farm.registry.http_exchange import Response

LARGEST_TOKEN = 1 << 20
"""Bytes of a token service's answer."""
_PARAMETER = re.compile(r'(?<!\w)(\w+)="([^"]*)"')
"""Begins where a word begins: else, a header of one long word would take quadratic time."""


class Challenge(NamedTuple):
    """The WWW-Authenticate header of a 401 response."""

    scheme: str
    """basic or bearer, in lower case."""
    realm: str = ""
    """URL of the token service."""
    service: str = ""

    @staticmethod
    def parse(header: str) -> Challenge:
        """Read a header: https://distribution.github.io/distribution/spec/auth/token/#how-to-authenticate."""
        scheme, _, rest = header.partition(" ")
        parameters = dict(_PARAMETER.findall(rest))
        return Challenge(scheme.lower(), parameters.get("realm", ""), parameters.get("service", ""))


def direct_answer(challenge: Challenge, login: Login | None) -> str | None:
    """The Authorization header of the login alone; None if a token is needed, or there is no login."""
    if login and login.is_token and challenge.scheme:
        return f"Bearer {login.password.reveal()}"
    return f"Basic {login.basic}" if login and challenge.scheme == "basic" else None


def check_realm(
    registry: str, realm: str, trusted: Iterable[tuple[str, str]], *, plain: bool, login: bool
) -> None:
    """Raise a RegistryError unless a registry's token service may be asked, with the login if there is one.

    The registry itself names the realm, so whoever answers in its place could collect logins. A login goes
    to the registry's own host, to one below it (auth.docker.io) or above it (gitlab.com, for
    registry.gitlab.com), and to what the settings name; and never without TLS, unless that is how the
    registry itself is reached.

    Args:
        registry: the registry that sent the challenge.
        realm: the URL of the token service.
        trusted: registries and the hosts (HOST[:PORT]) of their token services.
        plain: whether the registry is reached without TLS.
        login: whether a login would be sent.
    """
    scheme, host, _ = origin(realm)
    own = DEFAULT_REGISTRY if registry == DOCKER_HUB else origin(f"//{registry}")[1]
    if scheme != "https" and not (scheme == "http" and plain and host == own):
        raise RegistryError(
            f"the registry {registry} names {'a token service without TLS' if host else 'no token service'}",
            hint="the realm in its configuration must begin with https://",
        )
    is_own = host == own or host.endswith(f".{own}") or _is_above(host, own)
    if login and not is_own and not {(registry, host), (registry, authority(realm))} & set(trusted):
        raise RegistryError(
            f"the registry {registry} wants its login sent to {authority(realm)}, which is another site",
            hint=f"if that is its token service, set registry-token-realms to {registry}={authority(realm)}",
        )


def _is_above(host: str, own: str) -> bool:
    # Of an address, the last numbers are another address.
    return own.endswith(f".{host}") and "." in host and not host.rpartition(".")[2].isdecimal()


def token_request(challenge: Challenge, scope: str, login: Login | None) -> HttpRequest:
    """GET with the account, or POST with an identity token.

    https://distribution.github.io/distribution/spec/auth/token/#requesting-a-token
    https://distribution.github.io/distribution/spec/auth/oauth/#getting-a-token
    """
    service = [("service", challenge.service)] if challenge.service else []
    if login and login.is_identity:
        form = {
            **dict(service),
            "scope": scope,
            "grant_type": "refresh_token",
            "refresh_token": login.password.reveal(),
            "client_id": "farm",
        }
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        return HttpRequest("POST", challenge.realm, headers, urlencode(form).encode(), has_secret=True)
    query = urlencode([*service, *(("scope", word) for word in scope.split())])
    separator = "&" if split(challenge.realm).query else "?"
    headers = {"Authorization": f"Basic {login.basic}"} if login else {}
    url = f"{challenge.realm}{separator}{query}" if query else challenge.realm
    return HttpRequest("GET", url, headers, has_secret=bool(login))


def read_token(response: Response) -> str:
    """The token in a response: https://distribution.github.io/distribution/spec/auth/token/#token-response-fields."""
    try:
        answer = json_object(response.body)
        token = answer.get("token") or answer.get("access_token")
    except ValueError:
        token = None
    if not isinstance(token, str) or not re.fullmatch(r"[!-~]+", token):
        raise RegistryError(
            f"the token service of {response.peer.registry} sent no token",
            hint=f"is {split(response.url).host} the right one?",
        )
    return token
