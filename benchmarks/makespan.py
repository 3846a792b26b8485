"""How long generated runs take with the farm's order of jobs, in simulated time, beside the least possible.

That is the critical path, or all work divided by the workers, whichever is longer. First in, first out is
alongside.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from benchmarks.generated_tree import ARCHES, KINDS, make_tree
from benchmarks.measure import Ratio

if TYPE_CHECKING:
    from collections.abc import Iterator

_SEEDS = 5


def rows() -> Iterator[Ratio]:
    """Runs of each kind, of some sizes, on farms of some sizes."""
    for kind in KINDS:
        for packages in (60, 200, 2000):
            for workers in (3, 9, 30, 60):
                yield _row(kind, packages, workers)


def _row(kind: str, packages: int, workers: int) -> Ratio:
    took, least, fifo = [], [], []
    for seed in range(_SEEDS):
        tree = make_tree(kind, packages, workers, random.Random(f"{kind} {packages} {workers} {seed}"))
        took.append(tree.took(tree.order()))
        fifo.append(tree.took({}, fifo=True))
        least.append(tree.least())
    worse = max(one / other for one, other in zip(fifo, least, strict=True))
    worst = max(one / other for one, other in zip(took, least, strict=True))
    what = f"makespan, {kind}, {packages} packages x {len(ARCHES)}, {workers} workers (worst {worst:.3f})"
    return Ratio(what, took, f"the least possible (first in, first out: up to {worse:.3f})", least, 1.10, "s")
