"""A Redis in which work would be lost is refused, before the first job."""

from __future__ import annotations

from typing import Any

import pytest

from farm.errors import StateError
from farm.state.redis_checks import judge

GOOD = {"redis_version": "7.0.15", "maxmemory_policy": "noeviction", "aof_enabled": 1}


def test_a_redis_that_keeps_everything_is_accepted() -> None:
    assert judge(GOOD) == ("7.0.15", ())


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (
            {"maxmemory_policy": "allkeys-lru"},
            "evicts keys .*allkeys-lru.*maxmemory-policy to noeviction",
        ),
        ({"maxmemory_policy": "volatile-ttl"}, "evicts keys .*volatile-ttl"),
        ({"redis_version": "5.0.14"}, "version 5.0.14, and the farm needs 6.0 or newer"),
    ],
)
def test_a_redis_that_loses_work_is_refused_with_the_reason(more: dict[str, Any], message: str) -> None:
    with pytest.raises(StateError, match=message):
        judge(GOOD | more)


@pytest.mark.parametrize(
    ("without", "warning"),
    [("aof_enabled", "a restart loses the runs in progress"), ("maxmemory_policy", "does not say whether")],
)
def test_what_a_redis_does_not_promise_is_a_warning(without: str, warning: str) -> None:
    (said,) = judge({name: value for name, value in GOOD.items() if name != without}).warnings
    assert warning in said
