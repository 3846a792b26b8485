"""A way to a registry that breaks: after so many bytes, so many times."""

from __future__ import annotations

import socket
import threading
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_PIECE = 1 << 16


@dataclass
class Breaking:
    """Carries connections; one over which more than so many bytes went is cut, `times` times in all."""

    port: int
    up: int | None
    """Bytes towards the registry after which a connection breaks; None for never."""
    down: int | None
    times: int
    lose: int | None = None
    """Bytes towards the registry, in all, after which answers are lost."""
    broken: int = 0
    carried: int = 0
    """Bytes towards the registry, in all."""
    lock: threading.Lock = field(default_factory=threading.Lock)

    def serve(self, listener: socket.socket) -> None:
        """Carry what comes in until the listener is closed."""
        with suppress(OSError):
            while True:
                client, _ = listener.accept()
                registry = socket.create_connection(("127.0.0.1", self.port))
                for source, sink, limit in ((client, registry, self.up), (registry, client, self.down)):
                    up = sink is registry
                    threading.Thread(target=self.carry, args=(source, sink, limit, up), daemon=True).start()

    def carry(self, source: socket.socket, sink: socket.socket, limit: int | None, up: bool) -> None:
        """Carry one direction."""
        seen = 0
        with suppress(OSError):
            while data := source.recv(_PIECE):
                seen += len(data)
                with self.lock:
                    self.carried += len(data) if up else 0
                    full = limit is not None and seen > limit
                    lost = not up and self.lose is not None and self.carried > self.lose
                    breaks = (full or lost) and self.broken < self.times
                    self.broken += breaks
                if breaks:
                    break
                sink.sendall(data)
        for one in (source, sink):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        source.close()


@contextmanager
def breaking(
    registry: str,
    *,
    up: int | None = None,
    down: int | None = None,
    lose: int | None = None,
    times: int = 1,
) -> Iterator[tuple[str, Breaking]]:
    """localhost:PORT of a way to a registry (localhost:PORT), and what happened on it."""
    way = Breaking(int(registry.rpartition(":")[2]), up, down, times, lose)
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
        threading.Thread(target=way.serve, args=(listener,), daemon=True).start()
        yield f"localhost:{listener.getsockname()[1]}", way
        listener.shutdown(socket.SHUT_RDWR)
