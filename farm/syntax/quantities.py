"""Durations and sizes: read from settings, formatted for people."""

from __future__ import annotations

from typing import Any

Size = int
"""A number of bytes."""
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_LONGEST = 3650 * 86400
"""Seconds that any setting of time may be."""
_BYTES = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}
_BYTES |= {f"{unit}i": 1024**power for power, unit in enumerate("kmgt", 1)}


def read_seconds(value: Any) -> float:
    """Seconds, or a number with s, m, h or d: 90, 5m, 4h."""
    text = str(value).strip()
    unit = _SECONDS.get(text[-1:], 0)
    try:
        seconds = float(text[:-1]) * unit if unit else float(text)
    except ValueError:
        raise ValueError("must be seconds, or a number with s, m, h or d, such as 90 or 4h") from None
    if not 0 < seconds <= _LONGEST:
        raise ValueError(f"must be more than 0, and at most {_LONGEST // 86400}d")
    return seconds


def format_duration(seconds: float) -> str:
    """A duration, rounded to the largest fitting unit: 40 s, 9 min, 3 h."""
    for size, unit in ((3600, "h"), (60, "min")):
        if seconds >= 1.5 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(1, seconds):.0f} s"


def read_bytes(value: Any) -> int:
    """Bytes, or a number with kB, MB, GB, TB, KiB, MiB, GiB or TiB: 1048576, 500MB, 20GiB."""
    text = str(value).strip()
    number = text.rstrip("kKmMgGtTiIbB ")
    unit = text[len(number) :].strip().lower().removesuffix("b")
    try:
        size = int(float(number) * _BYTES[unit])
    except (KeyError, ValueError, OverflowError):
        raise ValueError("must be bytes, such as 500MB or 20GiB") from None
    if size < 0:
        raise ValueError("must not be less than 0")
    return size


def format_bytes(size: int) -> str:
    """A size in three digits: 512 B, 1.5 GiB."""
    units = ("B", "KiB", "MiB", "GiB", "TiB")
    power = min(max(size.bit_length() - 1, 0) // 10, len(units) - 1)
    number = size / 1024**power
    return f"{number:.{3 if number < 100 else 4}g} {units[power]}"  # noqa: PLR2004 - three digits or four
