"""What will happen in a run, and in a push that is only planned: pure functions over what is known now."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from farm.graph.order import critical_path, in_order, waves
from farm.model import PackageState, Reference
from farm.planning.expectations import PUBLISHING
from farm.planning.job_order import ranks
from farm.planning.simulate import ExpectedRun, ExpectedWork, Timeline, simulate

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from farm.planning.expectations import Expectations
    from farm.planning.plan import Plan
    from farm.state.records import JobRecord, RunRecord

_LEFT = 0.1
"""The part of a build that is left where it has taken longer than earlier ones."""


class Outlook(NamedTuple):
    """What a push will do, and how long that will take."""

    waves: list[list[str]]
    """Packages with something to do: each needs only packages of earlier waves."""
    critical_path: list[str]
    """The chain of packages that takes longest."""
    seconds: float | None = None
    """From its start to its end; None if no earlier build is known, or a worker is missing."""


def outlook(plan: Plan, expected: Expectations | None, slots: Mapping[str, int]) -> Outlook:
    """What a push of a plan will do; `slots` are the builds at a time of the workers that are up."""
    names = [item.package.image for item in plan.work]
    needs = {item.package.image: item.needs for item in plan.work}
    builds = {
        item.package.image: {
            arch: expected.seconds(item.package.reference.name, arch) if expected else 1.0
            for arch in item.build
        }
        for item in plan.work
    }
    own = {name: max(found.values(), default=0.0) + PUBLISHING for name, found in builds.items()}
    path = critical_path(names, needs, own.__getitem__)
    seconds = None
    if (
        expected
        and any(expected.of_arch.values())
        and all(slots.get(arch) for item in plan.work for arch in item.build)
    ):
        works = [ExpectedWork(name, builds[name], tuple(needs[name]), PUBLISHING) for name in names]
        found = simulate([ExpectedRun("", works, ranks(needs, own, in_order(names, needs)))], slots)
        seconds = max(found.ends.values(), default=0.0)
    return Outlook(waves(names, needs), path, seconds)


def forecast(record: RunRecord, expected: Expectations, slots: Mapping[str, int], now: float) -> Timeline:
    """When the jobs of a run will start and its packages end, in seconds from now (Unix time, seconds)."""
    works: list[ExpectedWork] = []
    for name, package in record.packages.items():
        if package.state.ended:
            continue
        image = Reference.parse(package.reference).name if package.jobs else ""
        left = {arch: job for arch, job in package.jobs.items() if not job.state.ended}
        builds = {arch: _left(job, expected.seconds(image, arch), now) for arch, job in left.items()}
        begun = frozenset(arch for arch, job in left.items() if job.state.in_progress)
        needs = package.needs if package.state is PackageState.WAITING else ()
        works.append(ExpectedWork(name, builds, needs, PUBLISHING, begun))
    needs_of = {work.package: work.needs for work in works}
    own = {work.package: max(work.builds.values(), default=0.0) + PUBLISHING for work in works}
    ordered = ranks(needs_of, own, in_order(own, needs_of))
    return simulate([ExpectedRun(record.id, works, ordered)], slots)


def _left(job: JobRecord, expected: float, now: float) -> float:
    begun = max(0.0, now - job.started) if job.state.in_progress and job.started else 0.0
    return max(expected - begun, expected * _LEFT)


def shared(slots: Mapping[str, int], submitters: Mapping[str, int]) -> dict[str, int]:
    """The slots that are left for one of so many submitters, by architecture; one at least of any."""
    return {arch: max(1, count // max(1, submitters.get(arch, 1))) for arch, count in slots.items() if count}


def sequence(names: Sequence[str]) -> str:
    """A chain of packages as people read it, without what is in its middle if it is long."""
    shown = names if len(names) <= 6 else [*names[:3], f"{len(names) - 5} more", *names[-2:]]  # noqa: PLR2004
    return " → ".join(shown)
