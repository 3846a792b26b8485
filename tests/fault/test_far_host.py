"""The far host itself: it reaches the services that it should, as fast as it should, and no others."""

from __future__ import annotations

import socketserver
import subprocess
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from tests.support.namespaces import FarHost, far_host

if TYPE_CHECKING:
    from collections.abc import Iterator

ANSWER = bytes(200_000)


class Handler(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        self.request.sendall(ANSWER)


@contextmanager
def serving() -> Iterator[int]:
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever).start()
        yield server.server_address[1]
        server.shutdown()


@pytest.fixture(scope="module")
def service() -> Iterator[int]:
    with serving() as port:
        yield port


@pytest.fixture
def host(service: int) -> Iterator[FarHost]:
    with far_host([service]) as host:
        yield host


def fetch(host: FarHost, port: int) -> subprocess.Popen[bytes]:
    """Read all from inside, and print its size."""
    program = (
        f"import socket; connection = socket.create_connection(('localhost', {port}), 20);"
        "print(len(connection.makefile('rb').read()))"
    )
    command = [*host.prefix, "python3", "-c", program]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def test_a_service_is_found_at_localhost_and_no_other(host: FarHost, service: int) -> None:
    out, errors = fetch(host, service).communicate(timeout=30)
    assert int(out) == len(ANSWER), errors
    with serving() as other:
        out, errors = fetch(host, other).communicate(timeout=30)
    assert (out, b"refused" in errors) == (b"", True)


def test_a_wire_that_is_cut_and_healed_loses_nothing_of_what_was_sent(host: FarHost, service: int) -> None:
    link = host.links[service]
    link.cut()
    waiting = fetch(host, service)
    deadline = time.monotonic() + 20
    while not link.lost:
        assert time.monotonic() < deadline
        assert waiting.poll() is None
    link.heal()
    assert int(waiting.communicate(timeout=30)[0]) == len(ANSWER)


def test_one_packet_in_ten_is_lost_and_all_arrives(host: FarHost, service: int) -> None:
    link = host.links[service]
    link.loss = 0.1
    assert int(fetch(host, service).communicate(timeout=60)[0]) == len(ANSWER)
    assert link.lost > 0


def test_a_delay_is_felt(host: FarHost, service: int) -> None:
    host.links[service].delay = 0.3
    begun = time.monotonic()
    assert int(fetch(host, service).communicate(timeout=60)[0]) == len(ANSWER)
    assert time.monotonic() - begun > 0.6
