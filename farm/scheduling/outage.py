"""Whether leases that ran out tell of deaths, or only of a Redis, or of a machine, that was away or slept."""

from __future__ import annotations

STEADY = 12.0
"""Seconds for which Redis must have answered before a lease that ran out tells of a death: when it was away,
every lease has run out, and the living, who may wait for an answer for 10 s, renew theirs first."""
LEAP = 5.0
"""Seconds by which an answer may be late, or a clock ahead, before it tells of a machine that slept, ours or
Redis's: no lease could be renewed meanwhile."""


class OutageDetector:
    """Tells whether Redis has answered for long enough, by clocks that did not leap."""

    def __init__(self, now: float) -> None:
        self._since = now
        self._ahead: tuple[float, float] | None = None

    def lost(self, now: float) -> None:
        """Begin anew: Redis did not answer."""
        self._since = now

    def steady(self, now: float, *, waited: float, ours: float, theirs: float) -> bool:
        """Whether a lease that ran out tells of a death.

        Args:
            now: by the monotonic clock, which stands still while the machine sleeps.
            waited: seconds that the last answer took.
            ours: Unix time by this machine's clock.
            theirs: Unix time by Redis's clock.
        """
        ahead = ours - now, theirs - now
        before, self._ahead = self._ahead or ahead, ahead
        if waited > LEAP or any(new - old > LEAP for old, new in zip(before, ahead, strict=True)):
            self._since = now
        return now - self._since > STEADY
