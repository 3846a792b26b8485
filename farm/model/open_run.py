"""What an open run has sent to workers, and may send: what the order of jobs is decided by."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

    from farm.model.states import RunPriority


class OpenRun(NamedTuple):
    """What an open run has sent, and may send."""

    run: str
    submitter: str
    priority: RunPriority
    created: float
    """Unix time, seconds."""
    in_progress: Mapping[str, int]
    """Architecture to jobs that were sent and have not ended."""
    ready: Mapping[str, int]
    """Architecture to jobs that may be sent."""
