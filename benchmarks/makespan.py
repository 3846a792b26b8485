"""How long generated runs take with the farm's order of jobs, in simulated time, beside the least possible.

That is the critical path, or all work divided by the workers, whichever is longer. First in, first out is
alongside.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, NamedTuple

from benchmarks.measure import Ratio
from farm.graph.order import in_order
from farm.planning.job_order import ranks
from farm.planning.simulate import ExpectedRun, ExpectedWork, simulate

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

_ARCHES = {"amd64": 1.0, "arm64": 1.2, "s390x": 2.0}
"""Architecture to how much slower it is."""
_PUBLISHING = 2.0
_SEEDS = 5


class _Tree(NamedTuple):
    needs: Mapping[str, Sequence[str]]
    builds: Mapping[str, Mapping[str, float]]
    slots: Mapping[str, int]

    def took(self, order: Mapping[str, float], *, fifo: bool = False) -> float:
        works = [
            ExpectedWork(name, self.builds[name], tuple(self.needs[name]), _PUBLISHING) for name in self.needs
        ]
        runs = [ExpectedRun("r1", works, order)]
        found = simulate(runs, self.slots, most=lambda *_: 1 << 30) if fifo else simulate(runs, self.slots)
        return max(found.ends.values())


def rows() -> Iterator[Ratio]:
    """Trees in waves as linuxkit has them, of random references, and without any."""
    for kind in ("waves", "random", "flat"):
        for packages in (60, 200, 2000):
            for workers in (3, 9, 30, 60):
                yield _row(kind, packages, workers)


def _row(kind: str, packages: int, workers: int) -> Ratio:
    took, least, fifo = [], [], []
    for seed in range(_SEEDS):
        tree = _tree(kind, packages, workers, random.Random(f"{kind} {packages} {workers} {seed}"))
        own = {name: max(found.values()) + _PUBLISHING for name, found in tree.builds.items()}
        order = ranks(tree.needs, own, in_order(own, tree.needs))
        work = max(sum(found[arch] for found in tree.builds.values()) / tree.slots[arch] for arch in _ARCHES)
        took.append(tree.took(order))
        fifo.append(tree.took({}, fifo=True))
        least.append(max(*order.values(), work))
    worse = max(one / other for one, other in zip(fifo, least, strict=True))
    worst = max(one / other for one, other in zip(took, least, strict=True))
    what = f"makespan, {kind}, {packages} packages x {len(_ARCHES)}, {workers} workers (worst {worst:.3f})"
    return Ratio(what, took, f"the least possible (first in, first out: up to {worse:.3f})", least, 1.10, "s")


def _tree(kind: str, packages: int, workers: int, numbers: random.Random) -> _Tree:
    names = [f"p{number}" for number in range(packages)]
    firsts = (0, max(1, packages // 30), int(packages * 0.8), int(packages * 0.95))
    needs: dict[str, list[str]] = {}
    for number, name in enumerate(names):
        below = max(first for first in firsts if first <= number)
        if kind == "waves":
            needs[name] = [names[numbers.randrange(below)]] if below else []
        else:
            count = numbers.randrange(3) if kind == "random" and number else 0
            needs[name] = [names[numbers.randrange(number)] for _ in range(count)]
    builds = {
        name: {arch: numbers.lognormvariate(3.5, 1) * slower for arch, slower in _ARCHES.items()}
        for name in names
    }
    one = workers / sum(_ARCHES.values())
    return _Tree(needs, builds, {arch: max(1, round(one * slower)) for arch, slower in _ARCHES.items()})
