"""Webhooks: a forge says that something was pushed, so that the watch looks at once.

Nothing of a request is believed, not even of one that is signed: the watch then asks the repository itself.
So a webhook that is lost, forged or sent twice changes nothing but the time of the next look.
"""

from __future__ import annotations

import hashlib
import hmac
import threading
import time
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

from farm.watch.forge import ForgeKind

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from email.message import Message

    from farm.settings import Secret

_LARGEST = 25 << 20
"""Bytes of a request: as many as GitHub sends. https://docs.github.com/en/webhooks/webhook-events-and-payloads"""
_PIECE = 1 << 16
_SILENCE, _WHOLE = 10.0, 60.0
"""Seconds in which a client must send something, and everything."""
_AT_ONCE = 16
"""Requests at a time; others are refused, and the next poll finds what they were about."""


def is_genuine(
    kind: ForgeKind, headers: Mapping[str, str] | Message, body: hmac.HMAC, secret: Secret
) -> bool:
    """Whether the forge sent a request; `body` is the HMAC-SHA256 of its body with the secret.

    https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries
    https://docs.gitea.com/usage/webhooks, https://docs.gitlab.com/user/project/integrations/webhooks/
    """
    if kind is ForgeKind.GITLAB:
        given, right = headers.get("X-Gitlab-Token", ""), secret.reveal()
    elif kind is ForgeKind.GITEA:
        given, right = headers.get("X-Gitea-Signature", ""), body.hexdigest()
    else:
        given, right = headers.get("X-Hub-Signature-256", ""), f"sha256={body.hexdigest()}"
    return hmac.compare_digest(given.encode(), right.encode())


class WebhookServer(ThreadingHTTPServer):
    """Serves POST for the forge, and GET /healthz, in threads; HTTPS is left to a proxy before it."""

    daemon_threads = True

    def __init__(self, address: tuple[str, int], kind: ForgeKind, secret: Secret) -> None:
        """Listen at an address and port."""
        super().__init__(address, _Handler)
        self.kind, self.secret = kind, secret
        self.wake: Callable[[], object] = bool
        """Called for each genuine request."""
        self.where = f"{address[0]}:{self.server_port}"
        self.places = threading.BoundedSemaphore(_AT_ONCE)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Serve a connection in a thread, or close it if there are too many."""
        if self.places.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Serve it, and give its place to another one."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self.places.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Do nothing: what a client breaks off is no fault of the watch."""


class _Handler(BaseHTTPRequestHandler):
    server: WebhookServer
    timeout = _SILENCE
    server_version, sys_version = "farm", ""

    def do_GET(self) -> None:
        """Answer a health check."""
        self._answer(HTTPStatus.OK if self.path == "/healthz" else HTTPStatus.NOT_FOUND)

    def do_POST(self) -> None:
        """Wake the watch, if the forge sent this."""
        length = self.headers.get("Content-Length", "")
        if not length.isascii() or not length.isdigit():
            return self._answer(HTTPStatus.LENGTH_REQUIRED)
        if int(length) > _LARGEST:
            return self._answer(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        body = hmac.new(self.server.secret.reveal().encode(), digestmod=hashlib.sha256)
        left = int(length)
        until = time.monotonic() + _WHOLE
        while left:
            piece = self.rfile.read1(min(left, _PIECE))
            if not piece or time.monotonic() > until:
                return None
            body.update(piece)
            left -= len(piece)
        if not is_genuine(self.server.kind, self.headers, body, self.server.secret):
            return self._answer(HTTPStatus.UNAUTHORIZED)
        self.server.wake()
        return self._answer(HTTPStatus.ACCEPTED)

    def _answer(self, status: HTTPStatus) -> None:
        content = f"{status.phrase}\n".encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(content)
        self.close_connection = True

    def log_message(self, *_: object) -> None:
        """Do nothing: the watch says what it does, and a proxy logs requests."""
