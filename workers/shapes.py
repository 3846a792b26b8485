"""The shapes of values in messages, which a check requires, or tells."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

from farm.scheduling.transport import RejectedError

LONGEST_TEXT = 4096
_LATEST = timedelta(minutes=10)
"""How long a message may wait in a worker: Celery retries three minutes after a pool process was lost."""
_ID = re.compile(r"[0-9A-Za-z.@_-]{1,100}")


def require(condition: object, reason: str) -> None:
    """Reject a message unless a condition holds."""
    if not condition:
        raise RejectedError(reason)


def mapping(what: str, value: Any) -> dict[str, Any]:
    """A JSON object."""
    require(isinstance(value, dict), f"{what}: no JSON object")
    return dict(value)


def text(what: str, value: Any, *, longest: int | None = LONGEST_TEXT) -> str:
    """A text without control characters."""
    require(isinstance(value, str) and value.isprintable(), f"{what}: no text")
    require(longest is None or len(value) <= longest, f"{what}: too long")
    return str(value)


def is_texts(value: object) -> bool:
    """Whether a value is a list of texts."""
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def is_number(value: object, most: int) -> bool:
    """Whether a value is a number from 0 to `most`."""
    return type(value) is int and 0 <= value <= most


def is_id(value: object) -> bool:
    """Whether a value is an id of a task, a group or a queue of answers."""
    return isinstance(value, str) and _ID.fullmatch(value) is not None


def is_optional_id(value: object) -> bool:
    """Whether a value is such an id, or None."""
    return value is None or is_id(value)


def is_optional_text(value: object) -> bool:
    """Whether a value is a text without control characters, or None."""
    return value is None or (isinstance(value, str) and len(value) <= LONGEST_TEXT and value.isprintable())


def is_soon(value: object) -> bool:
    """Whether a time is none, or so near that a worker may wait for it."""
    if value is None:
        return True
    at = datetime.fromisoformat(value) if isinstance(value, str) else None
    return at is not None and at.tzinfo is not None and at - datetime.now(UTC) < _LATEST


def is_time_limit(value: object) -> bool:
    """Whether a value is a pair of time limits, each a number or None, or None."""
    limits = value if isinstance(value, list) else [None, None] if value is None else []
    return len(limits) == 2 and all(one is None or type(one) in (int, float) for one in limits)  # noqa: PLR2004 - hard and soft
