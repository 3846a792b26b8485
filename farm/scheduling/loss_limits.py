"""When a message counts as lost, and the errors of work that is lost again and again: pure functions."""

from __future__ import annotations

from farm.errors import FarmError

MAX_LOST = 3
"""Losses of a worker that a job survives; after one more the job counts as the cause."""
MAX_RESENT = 8
"""Losses of a message that a job survives; with their growing pauses they span over a quarter of an hour."""
_TRANSIT = 3.0
"""Seconds that a message may take from its sender to its queue, or from its queue to a lease."""


def message_lost(since: float, head: float | None, now: float, *, resent: int = 0) -> bool:
    """Whether the message of a record that waits in a queue is no longer in that queue.

    A queue is first in, first out: if its oldest message was sent after this one, this one is gone.

    Args:
        since: when the message was about to be sent, Unix time in seconds.
        head: since when the queue's oldest message waits; `inf` if the queue is empty, None if unknown.
        now: the time by the same clock.
        resent: how often it was sent again; each time doubles the time that it may take.
    """
    return head is not None and since + _TRANSIT * 2**resent < min(head, now)


def lost_too_often_error(what: str, lost: int, kind: str, last: str = "") -> FarmError:
    """The error of work with which one worker or publisher (`kind`) after another was lost."""
    named = f", the last one {last}" if last else ""
    return FarmError(
        f"{what}: {lost} {kind}s were lost while they worked on it{named}",
        hint=f"that {kind}'s log says whether it died or exceeded its time limit; check its memory first",
    )


def never_accepted_error(what: str, kind: str) -> FarmError:
    """The error of work that no worker or publisher (`kind`) accepts."""
    return FarmError(
        f"{what}: dispatched {MAX_RESENT + 1} times, no {kind} accepted it",
        hint=f"the logs of the {kind}s say why; does one run an older version of the farm?",
    )
