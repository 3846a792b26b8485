"""The time limit of a build: a multiple of its longest recent duration, within the bound of the settings."""

from __future__ import annotations

import pytest

from farm.state.earlier_builds import MIN_TIME_LIMIT, time_limit


@pytest.mark.parametrize(
    ("past", "limit"),
    [
        ([], 14400.0),
        ([1.0], MIN_TIME_LIMIT),
        ([300.0, 900.0, 200.0], 4500.0),
        ([3600.0], 14400.0),
    ],
)
def test_the_limit_of_a_build(past: list[float], limit: float) -> None:
    assert time_limit(14400.0, past, 5) == limit


def test_a_short_bound_overrides_every_history() -> None:
    assert time_limit(60.0, [50.0], 5) == 60.0
