"""Outages: whether an expired lease means that its holder is gone, or that Redis or a machine was away."""

from __future__ import annotations

MIN_UPTIME = 12.0
"""Seconds for which Redis must have answered before an expired lease means that its holder is gone.

While Redis was away every lease expired. Holders that are alive renew theirs first: each may wait 10 s for
an answer.
"""
MAX_CLOCK_JUMP = 5.0
"""Seconds that an answer may take, or a clock advance against the monotonic one.

More means that this machine or Redis' was suspended, and that no lease could be renewed meanwhile.
"""


class OutageDetector:
    """Decides whether Redis has answered for long enough, by clocks that did not jump."""

    def __init__(self, now: float) -> None:
        self._since = now
        self._offsets: tuple[float, float] | None = None
        self.set_back = True
        """Whether Redis' clock may have been set back since this was last set to False."""

    def restart(self, now: float) -> None:
        """Start the time anew, because Redis did not answer."""
        self._since = now

    def is_over(self, now: float, *, waited: float, local_time: float, redis_time: float) -> bool:
        """Whether an expired lease means that its holder is gone.

        `now` is by the monotonic clock, which stops while the machine is suspended: then the offsets of the
        wall clocks grow. `waited` are the seconds that the last answer took.
        """
        offsets = local_time - now, redis_time - now
        before, self._offsets = self._offsets or offsets, offsets
        self.set_back = self.set_back or offsets[1] - before[1] < -MAX_CLOCK_JUMP
        jumped = any(new - old > MAX_CLOCK_JUMP for old, new in zip(before, offsets, strict=True))
        if waited > MAX_CLOCK_JUMP or jumped:
            self._since = now
        return now - self._since > MIN_UPTIME
