"""Answers to a registry's challenge: which Authorization header it asks for, and how a token is requested."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlencode

from farm.errors import RegistryError
from farm.registry.http_exchange import HttpRequest, split

if TYPE_CHECKING:
    from farm.registry.credentials import Login
    from farm.registry.http_exchange import Response

_PARAMETER = re.compile(r'(\w+)="([^"]*)"')


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
        return HttpRequest("POST", challenge.realm, headers, urlencode(form).encode())
    query = urlencode([*service, *(("scope", word) for word in scope.split())])
    separator = "&" if split(challenge.realm).query else "?"
    headers = {"Authorization": f"Basic {login.basic}"} if login else {}
    return HttpRequest("GET", f"{challenge.realm}{separator}{query}" if query else challenge.realm, headers)


def read_token(response: Response) -> str:
    """The token in a response: https://distribution.github.io/distribution/spec/auth/token/#token-response-fields."""
    try:
        answer = json.loads(response.body)
        token = answer.get("token") or answer.get("access_token")
    except (ValueError, AttributeError):
        token = None
    if not isinstance(token, str) or not re.fullmatch(r"[!-~]+", token):
        raise RegistryError(
            f"the token service of {response.peer.registry} sent no token",
            hint=f"is {split(response.url).hostname} the right one?",
        )
    return token
