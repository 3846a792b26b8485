"""A token service for a registry: it signs whatever a client that logs in asks for."""

from __future__ import annotations

import base64
import json
import ssl
import subprocess
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

from tests.support.http_server import serving

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ISSUER, SERVICE = "tokens of a test", "registry of a test"
IDENTITY = "who-I-am"
"""The identity token that it accepts in place of a login."""


@dataclass
class TokenService:
    """A running token service."""

    realm: str
    key: Path
    certificate: Path
    login: tuple[str, str]
    asked: list[list[str]] = field(default_factory=list)
    """The scopes of each request."""

    def token(self, scopes: list[str]) -> str:
        """A signed token that allows these scopes."""
        chain = "".join(self.certificate.read_text().splitlines()[1:-1])
        header = {"typ": "JWT", "alg": "RS256", "x5c": [chain]}
        access = [dict(zip(("type", "name", "actions"), one.split(":"), strict=True)) for one in scopes]
        now = int(time.time())
        claims = {
            "iss": ISSUER,
            "sub": self.login[0],
            "aud": SERVICE,
            "nbf": now - 10,
            "exp": now + 300,
            "iat": now,
            "jti": str(now),
            "access": [{**one, "actions": str(one["actions"]).split(",")} for one in access],
        }
        text = ".".join(_base64(json.dumps(part).encode()) for part in (header, claims))
        command = ["openssl", "dgst", "-sha256", "-sign", str(self.key)]
        signed = subprocess.run(command, input=text.encode(), capture_output=True, check=True, timeout=30)
        return f"{text}.{_base64(signed.stdout)}"


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


@contextmanager
def token_service(key: Path, certificate: Path, login: tuple[str, str]) -> Iterator[TokenService]:
    """A token service on loopback, for as long as the body runs."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            wanted = f"Basic {base64.b64encode(':'.join(login).encode()).decode()}"
            query = parse_qs(urlsplit(self.path).query)
            known = self.headers.get("Authorization") == wanted and query.get("service") == [SERVICE]
            self._answer("token", query.get("scope", []), known=known)

        def do_POST(self) -> None:
            form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
            scopes = form.get("scope", [""])[0].split()
            known = form.get("grant_type") == ["refresh_token"] and form.get("refresh_token") == [IDENTITY]
            self._answer("access_token", scopes, known=known)

        def _answer(self, name: str, scopes: list[str], *, known: bool) -> None:
            service.asked.append(scopes)
            body = json.dumps({name: service.token(scopes)}).encode() if known else b""
            self.send_response(200 if known else 401)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name of the method it is
            """Log nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    # The host of the registry that the test starts, whose login a client sends to no other.
    realm = f"https://[::ffff:7f00:1]:{server.server_port}/token"
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    service = TokenService(realm, key, certificate, login)
    with serving(server):
        yield service
