"""The makespan of a small generated run through the real broker, state and workers, whose builds sleep."""

from __future__ import annotations

import random
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from benchmarks.generated_tree import Tree, make_tree
from benchmarks.measure import Ratio
from benchmarks.noop_farm import running, wait_until_done
from benchmarks.noop_worker import SECONDS
from benchmarks.orders import make_run
from farm.scheduling.submission import submit_signed
from farm.state.earlier_builds import record_duration

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from benchmarks.noop_farm import NoopFarm
    from farm.model import PackageWork

_PACKAGES, _WORKERS, _SEEDS = 60, 9, 3
_MAKESPAN = 60.0
"""Seconds that a run takes at least."""


def rows() -> Iterator[Ratio]:
    """A tree in waves, whose builds take as long as those before, which the farm has seen."""
    took, least = [], []
    for seed in range(_SEEDS):
        tree = _scaled(make_tree("waves", _PACKAGES, _WORKERS, random.Random(seed)))
        with running("farm", tree.slots) as farm:
            took.append(_run(farm, tree))
        least.append(tree.least())
    what = f"makespan on a real broker, {_PACKAGES} packages x 3 in waves, {_WORKERS} workers"
    yield Ratio(what, took, "the least possible", least, 1.10, "s")


def _scaled(tree: Tree) -> Tree:
    free = tree._replace(publishing=0.0)
    factor = _MAKESPAN / free.least()
    builds = {
        name: {arch: seconds * factor for arch, seconds in found.items()}
        for name, found in tree.builds.items()
    }
    return free._replace(builds=builds)


def _run(farm: NoopFarm, tree: Tree) -> float:
    run = make_run(_PACKAGES)
    own = {name: f"bench/{name}" for name in tree.needs}
    works = tuple(
        _work(work, [own[need] for need in needs], tree.builds[name])
        for work, (name, needs) in zip(run.works, tree.needs.items(), strict=True)
    )
    for work in works:
        for job in work.jobs:
            record_duration(farm.store, job, float(dict(job.build_args)[SECONDS]))
    started = time.monotonic()
    wait_until_done(submit_signed(replace(run, works=works), farm.settings, farm.store))
    return time.monotonic() - started


def _work(work: PackageWork, needs: Sequence[str], builds: Mapping[str, float]) -> PackageWork:
    jobs = tuple(replace(job, build_args=((SECONDS, f"{builds[job.arch]:.3f}"),)) for job in work.jobs)
    return replace(work, jobs=jobs, needs=tuple(dict.fromkeys(needs)))
