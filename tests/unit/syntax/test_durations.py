"""Durations for people."""

from __future__ import annotations

import pytest

from farm.syntax.durations import format_duration


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.2, "1 s"), (40, "40 s"), (89, "89 s"), (90, "2 min"), (540, "9 min"), (7200, "2 h")],
)
def test_a_duration_is_rounded_to_its_largest_unit(seconds: float, words: str) -> None:
    assert format_duration(seconds) == words
