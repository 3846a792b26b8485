"""Durations and sizes: read as people write them, and shown rounded."""

from __future__ import annotations

import pytest

from farm.syntax.quantities import format_bytes, format_duration, read_bytes


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("1048576", 1 << 20),
        ("0", 0),
        ("500MB", 500_000_000),
        ("500 mb", 500_000_000),
        ("20GiB", 20 << 30),
        ("1.5GiB", 3 << 29),
        ("2g", 2_000_000_000),
        ("3TiB", 3 << 40),
    ],
)
def test_a_size_is_read_with_and_without_a_unit(text: str, size: int) -> None:
    assert read_bytes(text) == size


@pytest.mark.parametrize("text", ["", "GiB", "5XB", "five", "-1", "1GiBi"])
def test_an_invalid_size_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="must"):
        read_bytes(text)


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1536, "1.5 KiB"),
        (5 << 30, "5 GiB"),
        (1000 << 20, "1000 MiB"),
        (900 << 40, "900 TiB"),
    ],
)
def test_a_size_is_shown_in_three_digits(size: int, text: str) -> None:
    assert format_bytes(size) == text


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.2, "1 s"), (40, "40 s"), (89, "89 s"), (90, "2 min"), (540, "9 min"), (7200, "2 h")],
)
def test_a_duration_is_rounded_to_its_largest_unit(seconds: float, words: str) -> None:
    assert format_duration(seconds) == words
