"""Generated trees of packages, with the seconds that each build takes, and the workers for them."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from farm.graph.order import in_order
from farm.planning.job_order import ranks
from farm.planning.simulate import ExpectedRun, ExpectedWork, simulate

if TYPE_CHECKING:
    import random
    from collections.abc import Mapping, Sequence

KINDS = ("waves", "random", "flat")
"""In four waves as linuxkit has them, of random references, and without any."""
ARCHES = {"amd64": 1.0, "arm64": 1.2, "s390x": 2.0}
"""Architecture to how much slower it is."""


class Tree(NamedTuple):
    """Packages to what they need and how long their builds take; architectures to builds at a time."""

    needs: Mapping[str, Sequence[str]]
    builds: Mapping[str, Mapping[str, float]]
    slots: Mapping[str, int]
    publishing: float = 2.0
    """Seconds from a package's last build to the start of those that need it."""

    def order(self) -> dict[str, float]:
        """The ranks of the packages, as the farm computes them."""
        own = {name: max(found.values()) + self.publishing for name, found in self.builds.items()}
        return ranks(self.needs, own, in_order(own, self.needs))

    def least(self) -> float:
        """The seconds that no order can undercut: the critical path, or all work divided by the workers."""
        work = (sum(found[arch] for found in self.builds.values()) / self.slots[arch] for arch in ARCHES)
        return max(*self.order().values(), *work)

    def took(self, order: Mapping[str, float], *, fifo: bool = False) -> float:
        """The seconds that a run of all packages takes, in simulated time."""
        works = [
            ExpectedWork(name, self.builds[name], tuple(self.needs[name]), self.publishing)
            for name in self.needs
        ]
        runs = [ExpectedRun("r1", works, order)]
        found = simulate(runs, self.slots, most=lambda *_: 1 << 30) if fifo else simulate(runs, self.slots)
        return max(found.ends.values())


def make_tree(kind: str, packages: int, workers: int, numbers: random.Random) -> Tree:
    """A tree of one of KINDS."""
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
        name: {arch: numbers.lognormvariate(3.5, 1) * slower for arch, slower in ARCHES.items()}
        for name in names
    }
    one = workers / sum(ARCHES.values())
    return Tree(needs, builds, {arch: max(1, round(one * slower)) for arch, slower in ARCHES.items()})
