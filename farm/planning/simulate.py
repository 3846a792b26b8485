"""When jobs will start and end: the farm's own order of jobs, carried out by workers of a simulated time.

Times are what earlier builds took, so the answer is a guess; it is none of what nobody could know, such as a
worker that fails.
"""

from __future__ import annotations

import heapq
from collections import Counter, deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from farm.graph.order import reversed_edges
from farm.model import RunPriority
from farm.model.open_run import OpenRun
from farm.planning.job_order import choose_runs, most_queued

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    Most = Callable[[int, Sequence[float]], int]

Job = tuple[str, str]
"""Package and architecture."""


class ExpectedWork(NamedTuple):
    """What is left to do for one package."""

    package: str
    builds: Mapping[str, float]
    """Architecture to the seconds of its build."""
    needs: tuple[str, ...] = ()
    """Packages of the same run that must have been published; others count as published."""
    publishing: float = 0.0
    """Seconds from the last build to the start of those that need it."""
    begun: frozenset[str] = frozenset()
    """Architectures whose builds are in progress; their seconds are those that are left."""


class ExpectedRun(NamedTuple):
    """The rest of a run."""

    run: str
    works: Sequence[ExpectedWork]
    ranks: Mapping[str, float]
    submitter: str = ""
    priority: RunPriority = RunPriority.NORMAL
    created: float = 0.0


class Timeline(NamedTuple):
    """When things happen, in seconds from now; what no worker does is missing."""

    starts: dict[tuple[str, str, str], float]
    """Run, package and architecture to the start of the build."""
    ends: dict[tuple[str, str], float]
    """Run and package to the end of its publication."""


def simulate(runs: Iterable[ExpectedRun], slots: Mapping[str, int], most: Most = most_queued) -> Timeline:
    """What happens if nothing changes; `slots` are the builds at a time by architecture.

    `most` is how many messages a queue may have, by its slots and the durations of its last builds.
    """
    return _Simulation(list(runs), slots, most).run()


@dataclass(slots=True)
class _Progress:
    """One run as it goes on."""

    run: ExpectedRun
    works: dict[str, ExpectedWork]
    dependents: Mapping[str, Sequence[str]]
    missing: dict[str, int]
    """Package to how many of its dependencies are not published."""
    left: dict[str, int]
    """Package to its builds that have not ended."""
    ready: dict[str, list[tuple[float, int, str]]] = field(default_factory=dict)
    """Architecture to a heap of packages, the highest rank first."""
    in_progress: Counter[str] = field(default_factory=Counter)

    @staticmethod
    def of(run: ExpectedRun) -> _Progress:
        works = {work.package: work for work in run.works}
        needs = {name: [one for one in work.needs if one in works] for name, work in works.items()}
        missing = {name: len(found) for name, found in needs.items()}
        left = {name: len(work.builds) for name, work in works.items()}
        return _Progress(run, works, reversed_edges(needs), missing, left)

    def as_open_run(self) -> OpenRun:
        """As the order of jobs sees it."""
        run, ready = self.run, {arch: len(heap) for arch, heap in self.ready.items()}
        return OpenRun(run.run, run.submitter, run.priority, run.created, self.in_progress, ready)


class _Simulation:
    def __init__(self, runs: Sequence[ExpectedRun], slots: Mapping[str, int], most: Most) -> None:
        self._progress = {run.run: _Progress.of(run) for run in runs}
        self._free, self._slots, self._most = dict(slots), slots, most
        self._queues: dict[str, deque[tuple[str, str]]] = {}
        self._durations: dict[str, deque[float]] = {}
        self._events: list[tuple[float, int, str, str, str]] = []
        self._number = 0
        self._now = 0.0
        self._timeline = Timeline({}, {})

    def run(self) -> Timeline:
        for progress in self._progress.values():
            for work in progress.works.values():
                for arch in work.begun:
                    self._free[arch] = self._free.get(arch, 0) - 1
                    self._build(progress, work, arch)
                if not progress.missing[work.package]:
                    self._start(progress, work)
        self._fill()
        while self._events:
            self._now, _, *names = heapq.heappop(self._events)
            self._end(*names)
            # Events of the same moment first: all that is ready then is known before one is chosen.
            while self._events and self._events[0][0] <= self._now:
                self._end(*heapq.heappop(self._events)[2:])
            self._fill()
        return self._timeline

    def _after(self, seconds: float, run: str, package: str, arch: str) -> None:
        self._number += 1
        heapq.heappush(self._events, (self._now + seconds, self._number, run, package, arch))

    def _start(self, progress: _Progress, work: ExpectedWork) -> None:
        if not work.builds:
            self._after(work.publishing, progress.run.run, work.package, "")
        for arch in work.builds.keys() - work.begun:
            self._number += 1
            entry = (-progress.run.ranks.get(work.package, 0.0), self._number, work.package)
            heapq.heappush(progress.ready.setdefault(arch, []), entry)

    def _fill(self) -> None:
        """Send what is ready to the queues, and let free workers take from them."""
        arches = {arch for one in self._progress.values() for arch, heap in one.ready.items() if heap}
        for arch in sorted(arches | self._queues.keys()):
            queue = self._queues.setdefault(arch, deque())
            self._take(arch, queue)
            while arch in arches and self._send(arch, queue):
                if not self._take(arch, queue):
                    break

    def _send(self, arch: str, queue: deque[tuple[str, str]]) -> bool:
        last = self._durations.get(arch, ())
        room = self._most(self._slots.get(arch, 0), list(last)) - len(queue)
        chosen = choose_runs(arch, room, [one.as_open_run() for one in self._progress.values()])
        for name in chosen:
            progress = self._progress[name]
            *_, package = heapq.heappop(progress.ready[arch])
            progress.in_progress[arch] += 1
            queue.append((name, package))
        return bool(chosen)

    def _take(self, arch: str, queue: deque[tuple[str, str]]) -> bool:
        taken = False
        while queue and self._free.get(arch, 0) > 0:
            run, package = queue.popleft()
            self._free[arch] -= 1
            progress = self._progress[run]
            progress.in_progress[arch] -= 1
            self._build(progress, progress.works[package], arch)
            taken = True
        return taken

    def _build(self, progress: _Progress, work: ExpectedWork, arch: str) -> None:
        progress.in_progress[arch] += 1
        if arch not in work.begun:
            self._timeline.starts[progress.run.run, work.package, arch] = self._now
        self._after(work.builds[arch], progress.run.run, work.package, arch)

    def _end(self, run: str, package: str, arch: str) -> None:
        progress = self._progress[run]
        work = progress.works[package]
        if arch:
            self._free[arch] = self._free.get(arch, 0) + 1
            progress.in_progress[arch] -= 1
            self._durations.setdefault(arch, deque(maxlen=50)).appendleft(work.builds[arch])
            progress.left[package] -= 1
            if not progress.left[package]:
                self._after(work.publishing, run, package, "")
            return
        self._timeline.ends[run, package] = self._now
        for name in progress.dependents.get(package, ()):
            progress.missing[name] -= 1
            if not progress.missing[name]:
                self._start(progress, progress.works[name])
