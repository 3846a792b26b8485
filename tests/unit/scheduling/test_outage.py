"""An expired lease means that its holder is gone, unless Redis was away or a machine was suspended."""

from __future__ import annotations

import pytest

from farm.scheduling.outage import MAX_CLOCK_JUMP, MIN_UPTIME, OutageDetector

EPOCH = 1_700_000_000.0


def twenty_seconds(
    outage: OutageDetector, start: float, *, clocks: tuple[float, float] = (EPOCH, EPOCH)
) -> list[bool]:
    """The answers of a detector in each of twenty seconds without a fault."""
    local, redis = clocks
    return [
        outage.is_over(
            start + second,
            waited=0.01,
            local_time=local + start + second,
            redis_time=redis + start + second,
        )
        for second in range(20)
    ]


def test_redis_must_have_answered_for_a_while() -> None:
    answers = twenty_seconds(OutageDetector(0.0), 0.0)
    assert answers.index(True) == int(MIN_UPTIME) + 1
    assert all(answers[answers.index(True) :])


def test_an_outage_starts_the_time_anew() -> None:
    outage = OutageDetector(0.0)
    twenty_seconds(outage, 0.0)
    outage.restart(20.0)
    assert twenty_seconds(outage, 20.0).index(True) == int(MIN_UPTIME) + 1


def test_a_late_answer_starts_the_time_anew() -> None:
    outage = OutageDetector(0.0)
    twenty_seconds(outage, 0.0)
    times = {"local_time": EPOCH + 30, "redis_time": EPOCH + 30}
    assert not outage.is_over(30.0, waited=MAX_CLOCK_JUMP + 1, **times)


@pytest.mark.parametrize("clocks", [(EPOCH + 60, EPOCH), (EPOCH, EPOCH + 60), (EPOCH + 60, EPOCH + 60)])
def test_a_suspended_machine_starts_the_time_anew(clocks: tuple[float, float]) -> None:
    outage = OutageDetector(0.0)
    twenty_seconds(outage, 0.0)
    # The monotonic clock stopped meanwhile, or only Redis' machine was suspended.
    assert twenty_seconds(outage, 20.0, clocks=clocks).index(True) == int(MIN_UPTIME) + 1


def test_a_clock_that_is_set_back_leaves_leases_as_they_are_and_is_noticed_once() -> None:
    outage = OutageDetector(0.0)
    twenty_seconds(outage, 0.0)
    # Nobody knows whether that happened before the start.
    assert outage.set_back
    outage.set_back = False
    assert all(twenty_seconds(outage, 20.0, clocks=(EPOCH - 60, EPOCH)))
    assert not outage.set_back
    assert all(twenty_seconds(outage, 40.0, clocks=(EPOCH - 60, EPOCH - 60)))
    assert outage.set_back
