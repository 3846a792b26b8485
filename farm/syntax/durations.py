"""Durations: read from settings, formatted for people."""

from __future__ import annotations

from typing import Any

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_LONGEST = 3650 * 86400
"""Seconds that any setting of time may be."""


def read_seconds(value: Any) -> float:
    """Seconds, or a number with s, m, h or d: 90, 5m, 4h."""
    text = str(value).strip()
    unit = _UNITS.get(text[-1:], 0)
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
