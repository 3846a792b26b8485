"""A mirror of this machine's Debian archive, for builds in containers that may not reach the archive.

It is an HTTP proxy that knows `MIRROR` alone. The name is the same in every run, whatever address the proxy
has, so that the builder's cache finds the layers built from it.
"""

from __future__ import annotations

import http.client
import threading
import urllib.error
import urllib.request
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

from lab.apt_sources import machine_archive

if TYPE_CHECKING:
    from collections.abc import Iterator

MIRROR = "http://mirror.test/debian"
_TIMEOUT = 60.0


@contextmanager
def running_mirror(address: str) -> Iterator[str]:
    """The URL of the proxy, which listens at this address while the body runs."""
    with _Proxy((address, 0)) as proxy:
        thread = threading.Thread(target=proxy.serve_forever, name="mirror", daemon=True)
        thread.start()
        try:
            yield f"http://{address}:{proxy.server_port}"
        finally:
            proxy.shutdown()


class _Proxy(ThreadingHTTPServer):
    request_queue_size = 128

    def __init__(self, address: tuple[str, int]) -> None:
        super().__init__(address, _Handler)
        self.uri = machine_archive().uri.rstrip("/")


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Proxy

    def do_GET(self) -> None:
        """Answer what the archive answers; apt repeats what failed."""
        if not self.path.startswith(f"{MIRROR}/"):
            self.send_error(403, f"only {MIRROR} is mirrored")
            return
        url = self.server.uri + self.path.removeprefix(MIRROR)
        try:
            with urllib.request.urlopen(url, timeout=_TIMEOUT) as answer:  # noqa: S310 - apt's own archive
                content = answer.read()
        except urllib.error.HTTPError as error:
            self.send_error(error.code)
            return
        except (OSError, http.client.HTTPException) as error:
            self.send_error(502, f"{type(error).__name__}: {error}")
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Print nothing: the client is sent every failure."""
