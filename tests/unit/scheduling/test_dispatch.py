"""A broker that does not answer is an outage, which is waited for; a defect never counts as one."""

from __future__ import annotations

import pytest
from kombu.exceptions import OperationalError
from redis.exceptions import AuthenticationError
from redis.exceptions import ConnectionError as RedisConnectionError

from farm.errors import StateDeniedError, StateUnavailableError
from farm.scheduling.dispatch import RESULTS_LOST, translate_broker_errors


@pytest.mark.parametrize(
    "error", [OperationalError("x"), RedisConnectionError("x"), RuntimeError(RESULTS_LOST)], ids=repr
)
def test_a_broker_that_does_not_answer_is_unavailable(error: Exception) -> None:
    with pytest.raises(StateUnavailableError), translate_broker_errors():
        raise error


def test_a_login_that_the_broker_refuses_is_not_waited_for() -> None:
    with pytest.raises(StateDeniedError), translate_broker_errors():
        raise OperationalError("x") from AuthenticationError("WRONGPASS")


@pytest.mark.parametrize("error", [RuntimeError("can't start new thread"), RecursionError("x")], ids=repr)
def test_any_other_runtime_error_is_reported_as_it_is(error: Exception) -> None:
    with pytest.raises(type(error), match=str(error)), translate_broker_errors():
        raise error
