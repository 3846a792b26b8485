"""A lease that ran out tells of a death, unless Redis was away or somebody's clock stood still."""

from __future__ import annotations

import pytest

from farm.scheduling.outage import LEAP, STEADY, OutageDetector

EPOCH = 1_700_000_000.0


def beating(
    pulse: OutageDetector, start: float, *, ahead: tuple[float, float] = (EPOCH, EPOCH)
) -> list[bool]:
    """What a pulse says for twenty seconds in which all is well."""
    ours, theirs = ahead
    return [
        pulse.steady(start + second, waited=0.01, ours=ours + start + second, theirs=theirs + start + second)
        for second in range(20)
    ]


def test_redis_must_have_answered_for_a_while() -> None:
    said = beating(OutageDetector(0.0), 0.0)
    assert said.index(True) == int(STEADY) + 1
    assert all(said[said.index(True) :])


def test_an_outage_begins_it_anew() -> None:
    pulse = OutageDetector(0.0)
    beating(pulse, 0.0)
    pulse.lost(20.0)
    assert beating(pulse, 20.0).index(True) == int(STEADY) + 1


def test_an_answer_that_was_long_in_coming_begins_it_anew() -> None:
    pulse = OutageDetector(0.0)
    beating(pulse, 0.0)
    assert not pulse.steady(30.0, waited=LEAP + 1, ours=EPOCH + 30, theirs=EPOCH + 30)


@pytest.mark.parametrize("ahead", [(EPOCH + 60, EPOCH), (EPOCH, EPOCH + 60), (EPOCH + 60, EPOCH + 60)])
def test_a_machine_that_slept_begins_it_anew(ahead: tuple[float, float]) -> None:
    pulse = OutageDetector(0.0)
    beating(pulse, 0.0)
    # The monotonic clock stood still meanwhile, or only Redis's machine slept.
    assert beating(pulse, 20.0, ahead=ahead).index(True) == int(STEADY) + 1


def test_a_clock_that_is_put_back_tells_of_nothing() -> None:
    pulse = OutageDetector(0.0)
    beating(pulse, 0.0)
    assert all(beating(pulse, 20.0, ahead=(EPOCH - 60, EPOCH - 60)))
