"""What following a run costs: an event of a large run, and a frame of its table, beside a small one."""

from __future__ import annotations

import json
from io import StringIO
from typing import TYPE_CHECKING

from rich.console import Console

from benchmarks.measure import Ratio, ratio
from farm.cli.follow import change_line
from farm.cli.live_table import live_table
from farm.cli.tables import rich_table
from farm.model import JobState, PackageState, RunState
from farm.state.following import RunView
from farm.state.records import JobRecord, PackageRecord, RunRecord

if TYPE_CHECKING:
    from collections.abc import Iterator

_LARGE, _SMALL = 2000, 100
_EVENTS = 2000
_STATES = (JobState.QUEUED, JobState.LEASED, JobState.BUILDING, JobState.PUSHING)


def rows() -> Iterator[Ratio]:
    """Packages for two architectures, most of them in progress."""
    large, small = _view(_LARGE), _view(_SMALL)
    what, peer = f"of {_LARGE} packages", f"of {_SMALL}"
    yield ratio(
        f"{_EVENTS} events of a run {what}", lambda: _apply(large), peer, lambda: _apply(small), 1.2, 15
    )
    yield ratio(f"a frame of a run {what}", lambda: _draw(large), peer, lambda: _draw(small), 1.2, 15)


def _view(count: int) -> RunView:
    jobs = {arch: JobRecord(arch, JobState.WAITING) for arch in ("amd64", "s390x")}
    names = [f"linuxkit/p{number}" for number in range(count)]
    packages = {name: PackageRecord(name, "ref", PackageState.BUILDING, jobs=jobs) for name in names}
    return RunView(RunRecord("r1", RunState.OPEN, "bench@host", 0.0, None, packages))


def _apply(view: RunView) -> None:
    names = list(view.live().packages)
    for number in range(_EVENTS):
        name, state = names[number // len(_STATES) % len(names)], _STATES[number % len(_STATES)]
        field = f"J {name} amd64"
        view.apply(field, json.dumps({"arch": "amd64", "state": state, "at": 1.0, "started": 1.0}))
        change_line(view.live(), field)


def _draw(view: RunView) -> None:
    console = Console(file=StringIO(), width=80, height=40, force_terminal=True)
    console.print(rich_table(live_table(view, 2.0, {}, height=40, left=60.0)))
