"""A mirror of Debian's archive on this machine, which keeps what was asked for once in the cache."""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING

import httpx

from lab.offline import ARCHIVE
from lab.setup import CACHE

if TYPE_CHECKING:
    from collections.abc import Iterator

_KEPT = CACHE / "mirror"
_TIMEOUT = 60.0


@contextmanager
def running_mirror(address: str) -> Iterator[str]:
    """The URL of a mirror that listens at this address while the body runs."""
    with _Mirror((address, 0)) as mirror:
        thread = threading.Thread(target=mirror.serve_forever, name="mirror", daemon=True)
        thread.start()
        try:
            yield f"http://{address}:{mirror.server_port}/debian"
        finally:
            mirror.shutdown()


class _Mirror(ThreadingHTTPServer):
    """What one run of the mirror knows."""

    request_queue_size = 128

    def __init__(self, address: tuple[str, int]) -> None:
        super().__init__(address, _Handler)
        self.seen: set[str] = set()
        """Lists that were fetched in this run; packages never change."""
        transport = httpx.HTTPTransport(retries=3)
        self.archive = httpx.Client(transport=transport, timeout=_TIMEOUT, follow_redirects=True)

    def server_close(self) -> None:
        """End, and let go of the archive."""
        super().server_close()
        self.archive.close()

    def fetch(self, path: str, kept: Path) -> None:
        """Fill the cache with one file.

        Raises:
            httpx.HTTPError: it cannot be had.
        """
        kept.parent.mkdir(parents=True, exist_ok=True)
        with self.archive.stream("GET", f"{ARCHIVE}/{path}") as answer:
            answer.raise_for_status()
            handle, name = tempfile.mkstemp(prefix=".new-", dir=kept.parent)
            with os.fdopen(handle, "wb") as file:
                for piece in answer.iter_bytes():
                    file.write(piece)
        Path(name).rename(kept)
        self.seen.add(path)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Mirror

    def do_GET(self) -> None:
        """Answer from the cache, which is filled first where it must be."""
        path = self.path.removeprefix("/debian/")
        kept = _KEPT / path
        try:
            constant = path.startswith("pool/") or "/by-hash/" in path or path in self.server.seen
            if not (constant and kept.exists()):
                self.server.fetch(path, kept)
        except httpx.HTTPStatusError as error:
            self.send_error(error.response.status_code)
            return
        except httpx.HTTPError as error:
            # Lists of yesterday are better than none where the archive cannot be reached.
            if not kept.exists():
                self.send_error(502, f"{type(error).__name__}: {error}")
                return
        self.send_response(200)
        self.send_header("Content-Length", str(kept.stat().st_size))
        self.end_headers()
        with kept.open("rb") as file:
            shutil.copyfileobj(file, self.wfile)

    def log_message(self, *_: object) -> None:
        """Say nothing: who asks is told what goes wrong."""
