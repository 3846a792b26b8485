from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pytest

from farm.builders.wait import Limit, watch
from farm.buildkit.connection import Connection
from farm.errors import BuildFailedError, CancelledError, EngineUnavailableError

if TYPE_CHECKING:
    from collections.abc import Iterator


_OK = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.fixture
def ends() -> Iterator[tuple[Connection, socket.socket]]:
    """A connection, and the engine's end of it."""
    ours, theirs = socket.socketpair()
    ours.settimeout(5.0)
    with Connection(ours, "unix:///e") as connection, theirs:
        yield connection, theirs


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


def test_an_object_that_comes_in_pieces_is_one_object(ends: tuple[Connection, socket.socket]) -> None:
    connection, engine = ends
    connection.request("POST", "/build")
    engine.sendall(_OK + chunk(b'{"a": 1}\r\n{"b"'))
    assert connection.receive() == [{"a": 1}]
    engine.sendall(chunk(b": 2}\n") + chunk(b""))
    assert connection.receive() == [{"b": 2}]
    assert connection.ended


def test_an_error_without_a_line_end_is_read_too(ends: tuple[Connection, socket.socket]) -> None:
    connection, engine = ends
    connection.request("POST", "/build")
    engine.sendall(b'HTTP/1.1 500 Oops\r\nContent-Length: 15\r\n\r\n{"message":"x"}')
    assert connection.receive() == [{"message": "x"}]
    assert (connection.status, connection.ended) == (500, True)


def test_a_page_of_html_in_between_is_passed_over(ends: tuple[Connection, socket.socket]) -> None:
    connection, engine = ends
    connection.request("POST", "/build")
    engine.sendall(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 15\r\n\r\n<html>\n1\n</html")
    assert connection.receive() == []
    assert connection.status == 502


@pytest.mark.parametrize("sent", [b"", _OK[:20], _OK + b"ff\r\n{", b"SSH-2.0-OpenSSH\r\n\r\n"])
def test_an_answer_that_breaks_off_is_told_as_the_engine_gone(
    ends: tuple[Connection, socket.socket], sent: bytes
) -> None:
    connection, engine = ends
    connection.request("POST", "/build")
    engine.sendall(sent)
    engine.shutdown(socket.SHUT_WR)
    limit = Limit.of("the build", cancelled=lambda: False, timeout=5.0, too_long=BuildFailedError)
    with pytest.raises(EngineUnavailableError):
        list(watch(connection, None, limit))


def test_an_engine_that_knows_no_sessions_is_told_what_is_needed(
    ends: tuple[Connection, socket.socket],
) -> None:
    connection, engine = ends
    engine.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
    with pytest.raises(EngineUnavailableError, match="answered /session with 404") as caught:
        connection.upgrade("POST", "/session")
    assert caught.value.hint == "the farm needs Docker Engine 20.10 or newer"


def test_what_comes_together_with_the_upgrade_is_not_lost(ends: tuple[Connection, socket.socket]) -> None:
    connection, engine = ends
    engine.sendall(b"HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\nPRI * HTTP/2.0")
    assert connection.upgrade("POST", "/session") == b"PRI * HTTP/2.0"


def test_a_silent_engine_is_waited_for_only_as_long_as_was_said(
    ends: tuple[Connection, socket.socket],
) -> None:
    connection, _ = ends
    limit = Limit.of("the build", cancelled=lambda: False, timeout=0.3, too_long=BuildFailedError)
    with pytest.raises(BuildFailedError, match=r"^the build took longer than 0\.3 s and was stopped$"):
        list(watch(connection, None, limit))


def test_what_was_cancelled_is_not_waited_for(ends: tuple[Connection, socket.socket]) -> None:
    limit = Limit.of("the build", cancelled=lambda: True, timeout=5.0, too_long=BuildFailedError)
    with pytest.raises(CancelledError, match=r"^the build was cancelled$"):
        list(watch(ends[0], None, limit))
