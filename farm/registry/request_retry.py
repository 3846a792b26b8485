"""Pauses between the attempts at a request."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from farm.registry.response import Response

ATTEMPTS = 4
LONGEST_PAUSE = 10.0
"""Seconds."""
FIRST_PAUSE, JITTER = 0.1, 0.2


def growing_pause(attempt: int) -> float:
    """Seconds to wait after an attempt, the first being 1; jitter keeps clients apart."""
    return min(FIRST_PAUSE * (1 << attempt - 1) + random.uniform(0, JITTER), LONGEST_PAUSE)  # noqa: S311 - no secret


def asked_pause(response: Response, otherwise: float) -> float:
    """Seconds to wait as a busy registry asks for.

    Only its form in seconds: https://www.rfc-editor.org/rfc/rfc9110.html#name-retry-after
    """
    asked = response.headers.get("Retry-After", "")
    return min(float(asked), LONGEST_PAUSE) if asked.isdecimal() else otherwise
