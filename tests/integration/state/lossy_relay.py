"""A relay to Redis that loses one command, or the answer to one that was carried out."""

from __future__ import annotations

import socket
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterator

_CHUNK = 1 << 16


class LossyRelay:
    """Relays connections to Redis, and breaks one at a chosen command or at the answer to it."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._redis = (parts.hostname or "", parts.port or 0)
        self._listener = socket.create_server(("127.0.0.1", 0))
        port = self._listener.getsockname()[1]
        self.url = parts._replace(netloc=parts.netloc.replace(f":{parts.port}", f":{port}")).geturl()
        self._wanted = b""
        self._before = False
        self.lost = 0
        self._clients: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._serve)]
        self._threads[0].start()

    def lose_answer_to(self, word: str) -> None:
        """Lose the next answer to a command that contains this word."""
        self._wanted, self._before = word.encode(), False

    def lose(self, word: str) -> None:
        """Lose the next command that contains this word: it is not carried out."""
        self._wanted, self._before = word.encode(), True

    def close(self) -> None:
        """Accept no more connections, and break those that remain."""
        for sock in (self._listener, *self._clients):
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                self._clients.append(client)
                self._threads.append(threading.Thread(target=self._relay, args=(client,)))
                self._threads[-1].start()

    def _relay(self, client: socket.socket) -> None:
        with client, socket.create_connection(self._redis) as redis, suppress(OSError):
            while words := client.recv(_CHUNK):
                losing = bool(self._wanted) and self._wanted in words
                if not (losing and self._before):
                    redis.sendall(words)
                    answer = redis.recv(_CHUNK)
                if losing:
                    self._wanted = b""
                    self.lost += 1
                    return
                client.sendall(answer)


@contextmanager
def lossy_relay(url: str) -> Iterator[LossyRelay]:
    """A relay to the Redis at a URL, for clients that send one small command at a time."""
    relay = LossyRelay(url)
    try:
        yield relay
    finally:
        relay.close()
