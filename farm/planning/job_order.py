"""Whose job is next, and how many are sent: pure functions, which a simulation uses as the farm does.

Jobs that are ready are sent to their queue only as workers need them, so that what comes later and matters
more is not behind them. Who has the fewest jobs in progress is next, so that submitters share the workers
evenly, however many jobs each has; of one submitter, the runs share in the same way. Within a run, the job
with the longest way to the end of the run is next.
"""

from __future__ import annotations

import math
from collections import defaultdict
from statistics import fmean
from typing import TYPE_CHECKING

from farm.model import RunPriority

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from farm.model.open_run import OpenRun

DEFAULT_DURATION = 60.0
"""Seconds of a build of which nothing is known."""
_LOOKED_AFTER = 2.0
"""Seconds after which more jobs are sent at the latest: the reconciler sends them once a second."""
_MOST_PER_SLOT = 100
_LEAST = 2
"""Jobs that are sent even if no worker is up: the queue shows that there is work."""
_WEIGHTS = {RunPriority.HIGH: 4.0, RunPriority.NORMAL: 1.0, RunPriority.LOW: 0.25}
"""How many jobs in progress of one run count as one of another one's."""


def most_queued(slots: int, durations: Sequence[float]) -> int:
    """How many messages a queue may have: so many that its workers have enough to do until more are sent.

    `durations` are those of the last builds of the architecture, in seconds.
    """
    expected = fmean(durations) if durations else DEFAULT_DURATION
    ended = slots * min(_MOST_PER_SLOT, _LOOKED_AFTER / max(expected, 1e-3))
    return max(_LEAST, math.ceil(ended) + 1)


def choose_runs(arch: str, room: int, runs: Iterable[OpenRun]) -> list[str]:
    """The runs whose next jobs of an architecture are to be sent, in this order; a run may be there often."""
    known = list(runs)
    left = {one.run: one.ready.get(arch, 0) for one in known}
    load = {one.run: one.in_progress.get(arch, 0) / _WEIGHTS[one.priority] for one in known}
    total: defaultdict[str, float] = defaultdict(float)
    for one in known:
        total[one.submitter] += load[one.run]
    chosen: list[str] = []
    while len(chosen) < room:
        waiting = [one for one in known if left[one.run]]
        if not waiting:
            break
        best = min(waiting, key=lambda one: (total[one.submitter], load[one.run], one.created, one.run))
        chosen.append(best.run)
        left[best.run] -= 1
        load[best.run] += 1 / _WEIGHTS[best.priority]
        total[best.submitter] += 1 / _WEIGHTS[best.priority]
    return chosen


def ranks(
    needs: Mapping[str, Sequence[str]], own: Mapping[str, float], order: Sequence[str]
) -> dict[str, float]:
    """Package to the seconds from its start to the end of all that depends on it, directly or not.

    `own` are the seconds that each takes, and `order` has each after those that it needs.
    """
    found = dict(own)
    after: dict[str, float] = dict.fromkeys(own, 0.0)
    for name in reversed(order):
        found[name] = own[name] + after[name]
        for need in needs.get(name, ()):
            if need in after:
                after[need] = max(after[need], found[name])
    return found
