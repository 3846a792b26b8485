"""A repository over HTTP that only a token opens, served by git's own program for it."""

from __future__ import annotations

import base64
import os
import subprocess
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

from tests.support.http_server import serving

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path


class _Handler(BaseHTTPRequestHandler):
    """Answers whoever gives the token as a password: https://git-scm.com/docs/git-http-backend."""

    protocol_version = "HTTP/1.1"
    top = ""
    """The directory of the repositories."""
    token = ""

    def do_GET(self) -> None:
        kind, _, login = self.headers.get("Authorization", "").partition(" ")
        if kind == "Basic" and base64.b64decode(login).decode().endswith(f":{self.token}"):
            self._run_backend()
        else:
            self._answer(401, [("WWW-Authenticate", 'Basic realm="git"')], b"")

    def do_POST(self) -> None:
        self.do_GET()

    def _run_backend(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        done = subprocess.run(
            ["git", "http-backend"],
            env=self._variables(),
            input=body,
            capture_output=True,
            check=True,
            timeout=60,
        )
        head, _, content = done.stdout.partition(b"\r\n\r\n")
        fields = dict(line.split(": ", 1) for line in head.decode().split("\r\n"))
        status = int(fields.pop("Status", "200").split()[0])
        self._answer(status, fields.items(), content)

    def _variables(self) -> dict[str, str]:
        path, _, query = self.path.partition("?")
        return {
            "PATH": os.environ["PATH"],
            "GIT_PROJECT_ROOT": self.top,
            "GIT_HTTP_EXPORT_ALL": "1",
            "REQUEST_METHOD": self.command,
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
            "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
        }

    def _answer(self, status: int, fields: Iterable[tuple[str, str]], content: bytes) -> None:
        self.send_response(status)
        for name, value in (*fields, ("Content-Length", str(len(content)))):
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Log nothing."""


@contextmanager
def private_repository(repository: Path, token: str) -> Iterator[str]:
    """The URL of a repository, which answers whoever gives the token as a password, and 401 to others."""
    handler = type("Handler", (_Handler,), {"top": str(repository.parent), "token": token})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    with serving(server):
        yield f"http://127.0.0.1:{server.server_port}/{repository.name}"
