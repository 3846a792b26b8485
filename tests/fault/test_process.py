"""Data that a test sees is attributed to the process that sent it."""

from __future__ import annotations

import os
import socket
from contextlib import closing

from tests.fault.process import process_of_connection


def dial(to: socket.socket, port: int = 0) -> socket.socket:
    """A connection to a listener, from a port that may have other connections."""
    dialled = socket.socket()
    dialled.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    dialled.bind(("127.0.0.1", port))
    dialled.connect(to.getsockname())
    return dialled


def test_a_connection_is_not_taken_for_another_from_the_same_port_that_is_over() -> None:
    one, other = (socket.create_server(("127.0.0.1", 0), reuse_port=True) for _ in range(2))
    with one, other, dial(one) as over:
        port = over.getsockname()[1]
        with closing(one.accept()[0]):
            over.close()
        with dial(other, port):
            assert process_of_connection(port, other.getsockname()[1], [os.getpid()]) == os.getpid()
            assert process_of_connection(port, one.getsockname()[1], [os.getpid()]) is None
