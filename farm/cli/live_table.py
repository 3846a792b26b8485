"""A run while it goes on: totals, and as many of its packages as fit, those that matter first."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING

from farm.cli.tables import run_table
from farm.model import JobState, PackageState
from farm.syntax.quantities import format_duration

if TYPE_CHECKING:
    from collections.abc import Iterator

    from farm.cli.tables import Table
    from farm.planning.wait_reasons import Waits
    from farm.state.following import RunView
    from farm.state.records import RunRecord

_BESIDE_ROWS = 6
"""Lines that are not rows: two of the title, the headings, what is left out, the cursor's, one to spare."""
_FAILED_PART = 3
"""Failed packages get this part of the rows at most, while others are active."""


def live_table(view: RunView, now: float, waits: Waits, *, height: int, left: float | None) -> Table:
    """The table for a terminal of this many lines; `left` are the seconds to the run's end, if known."""
    record = view.live()
    names = shown_names(view, record, max(height - _BESIDE_ROWS, 1))
    shown = replace(record, packages={name: record.packages[name] for name in names})
    more = len(record.packages) - len(names)
    title = totals(view, record, left)
    return replace(run_table(shown, now, waits), title=title, caption=f"and {more} more" if more else None)


def totals(view: RunView, record: RunRecord, left: float | None = None) -> str:
    """One line about the whole run."""
    done = sum(count for state, count in view.packages.items() if state.succeeded)
    failed = view.packages[PackageState.FAILED] + view.packages[PackageState.CANCELLED]
    parts = [f"{done} of {len(record.packages)} packages done"]
    parts += [f"{failed} failed"] if failed else []
    working = {state: count for state, count in view.jobs.items() if state.in_progress and count}
    parts += [f"{count} {state}" for state, count in working.items()]
    waiting = view.jobs[JobState.WAITING] + view.jobs[JobState.QUEUED]
    parts += [f"{waiting} waiting"] if waiting else []
    about = f"; about {format_duration(left)} left" if left is not None else ""
    return f"run {record.id}: {record.state}: {', '.join(parts)}{about}"


def shown_names(view: RunView, record: RunRecord, rows: int) -> list[str]:
    """The packages that are shown: all if they fit, else what failed, what goes on, and what comes next."""
    if len(record.packages) <= rows:
        return list(record.packages)
    room_of_failed = max(rows // _FAILED_PART, rows - len(view.active))
    names = dict.fromkeys([*view.failed][-room_of_failed:])
    for name in [*reversed(view.active)][: rows - len(names)]:
        names[name] = None
    for name in islice(_next(record, names), rows - len(names)):
        names[name] = None
    return list(names)


def _next(record: RunRecord, known: dict[str, None]) -> Iterator[str]:
    """What has been started, then what waits, then the rest."""
    for wanted in (PackageState.BUILDING, PackageState.WAITING, None):
        for name, package in record.packages.items():
            others = package.state not in (PackageState.BUILDING, PackageState.WAITING)
            if name not in known and (package.state is wanted or (wanted is None and others)):
                yield name
