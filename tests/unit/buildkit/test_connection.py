from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pytest

from farm.builders.builder import Control
from farm.builders.message_stream import Limits, stream_messages
from farm.buildkit.connection import Connection
from farm.errors import BuildFailedError, CancelledError, EngineUnavailableError

if TYPE_CHECKING:
    from collections.abc import Iterator


Ends = tuple[Connection, socket.socket]
_OK = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.fixture
def ends() -> Iterator[Ends]:
    """A connection, and the engine's end of it."""
    client, engine = socket.socketpair()
    client.settimeout(5.0)
    with Connection(client, "unix:///e") as connection, engine:
        yield connection, engine


def begun(ends: Ends, answer: bytes) -> Ends:
    """Send a request, and this answer."""
    ends[0].request("POST", "/build")
    ends[1].sendall(answer)
    return ends


def read_all(connection: Connection, control: Control) -> None:
    """Read a response to its end, as a build does."""
    list(stream_messages(connection, Limits.start("the build", control, BuildFailedError).check))


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


def test_an_object_that_arrives_in_parts_is_one_object(ends: Ends) -> None:
    connection, engine = begun(ends, _OK + chunk(b'{"a": 1}\r\n{"b"'))
    assert connection.receive() == [{"a": 1}]
    engine.sendall(chunk(b": 2}\n") + chunk(b""))
    assert connection.receive() == [{"b": 2}]
    assert connection.ended


def test_an_error_without_a_newline_is_read(ends: Ends) -> None:
    connection, _ = begun(ends, b'HTTP/1.1 500 Oops\r\nContent-Length: 15\r\n\r\n{"message":"x"}')
    assert connection.receive() == [{"message": "x"}]
    assert (connection.status, connection.ended) == (500, True)


def test_an_html_page_of_a_proxy_is_ignored(ends: Ends) -> None:
    page = b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 15\r\n\r\n<html>\n1\n</html"
    connection, _ = begun(ends, page)
    assert connection.receive() == []
    assert connection.status == 502


@pytest.mark.parametrize("sent", [b"", _OK[:20], _OK + b"ff\r\n{", b"SSH-2.0-OpenSSH\r\n\r\n"])
def test_a_truncated_response_means_that_the_engine_is_unavailable(ends: Ends, sent: bytes) -> None:
    connection, engine = begun(ends, sent)
    engine.shutdown(socket.SHUT_WR)
    with pytest.raises(EngineUnavailableError):
        read_all(connection, Control(print, 5.0))


def test_an_engine_without_sessions_is_refused_with_the_version_that_is_needed(ends: Ends) -> None:
    connection, engine = ends
    engine.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
    with pytest.raises(EngineUnavailableError, match="answered /session with 404") as caught:
        connection.upgrade("POST", "/session")
    assert caught.value.hint == "the farm needs Docker Engine 20.10 or newer"


def test_bytes_that_arrive_with_the_upgrade_are_kept(ends: Ends) -> None:
    connection, engine = ends
    engine.sendall(b"HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\nPRI * HTTP/2.0")
    assert connection.upgrade("POST", "/session") == b"PRI * HTTP/2.0"


def test_waiting_for_a_silent_engine_ends_at_the_timeout(ends: Ends) -> None:
    with pytest.raises(BuildFailedError, match=r"^the build took longer than 0\.3 s and was stopped$"):
        read_all(ends[0], Control(print, 0.3))


def test_waiting_ends_when_the_build_is_cancelled(ends: Ends) -> None:
    with pytest.raises(CancelledError, match=r"^the build was cancelled$"):
        read_all(ends[0], Control(print, 5.0, lambda: True))
