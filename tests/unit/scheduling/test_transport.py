"""The transport of messages: that it is in use, and what of kombu and redis-py it relies on."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

import pytest
from kombu import Connection
from kombu.transport import redis
from redis._parsers import _RESP3Parser
from redis._parsers.socket import SocketBuffer

from farm.scheduling.celery_app import make_app
from farm.scheduling.transport import MAX_MESSAGE, Channel
from farm.settings import Secret, Settings
from farm.state.bounded_answers import MAX_VALUE


@pytest.mark.parametrize("url", ["unix:///run/r.sock", "redis://h:1/2", "rediss://h:1/2"])
def test_messages_are_read_in_bounded_memory_whatever_the_url(url: str) -> None:
    with Connection(url.replace("unix", "redis+socket")) as earlier:
        assert earlier.transport  # kombu remembers its class
    app = make_app(Settings(broker=Secret(url)))
    with app.connection_for_read() as connection:
        assert isinstance(connection.transport, redis.Transport)
        assert redis.Transport.Channel is Channel
    assert MAX_MESSAGE < MAX_VALUE


def test_results_of_tasks_are_read_in_bounded_memory() -> None:
    backend: Any = make_app(Settings(broker=Secret("redis://h:1/2"))).backend
    assert backend.connparams["parser_class"].largest == MAX_VALUE


def test_what_the_transport_overrides_is_still_how_kombu_and_redis_py_read() -> None:
    """With another release of either, look at farm/scheduling/transport.py and tests/attacks first."""
    assert version("kombu").startswith("5.7.")
    assert version("redis").startswith("8.")
    for name in ("_receive_one", "_handle_message", "_connparams", "_get_client", "_q_for_pri"):
        assert name in vars(redis.Channel), name
    assert {"read", "readline", "_read_from_socket"} <= set(vars(SocketBuffer))
    assert "read_response" in vars(_RESP3Parser)
