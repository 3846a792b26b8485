"""Sizes in bytes: read from settings, formatted for people."""

from __future__ import annotations

from typing import Any

Size = int
"""A number of bytes."""
_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}
_UNITS |= {f"{unit}i": 1024**power for power, unit in enumerate("kmgt", 1)}


def read_bytes(value: Any) -> int:
    """Bytes, or a number with kB, MB, GB, TB, KiB, MiB, GiB or TiB: 1048576, 500MB, 20GiB."""
    text = str(value).strip()
    number = text.rstrip("kKmMgGtTiIbB ")
    unit = text[len(number) :].strip().lower().removesuffix("b")
    try:
        size = int(float(number) * _UNITS[unit])
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
