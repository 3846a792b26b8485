"""How long builds will take, from how long earlier ones took."""

from __future__ import annotations

from statistics import fmean, median
from typing import TYPE_CHECKING, NamedTuple

from farm.graph.order import in_order
from farm.model import ARCHES
from farm.planning.job_order import DEFAULT_DURATION, ranks
from farm.state.earlier_builds import durations_by_arch, durations_by_image

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from farm.model import PackageWork
    from farm.state.store import Store

PUBLISHING = 2.0
"""Seconds from a package's last build to the start of those that need it."""
_NEWEST = 3
"""Builds of one image that count."""


class Expectations(NamedTuple):
    """The seconds that earlier builds took, newest first."""

    of_image: Mapping[tuple[str, str], Sequence[float]]
    """By repository and architecture, as far as they are known."""
    of_arch: Mapping[str, Sequence[float]]
    """By architecture."""

    def seconds(self, name: str, arch: str) -> float:
        """The expected seconds of a build of an image on an architecture.

        Those of its own last builds, else those on other architectures, as far as this one is slower or
        faster in general, else the median of the architecture.
        """
        if own := self.of_image.get((name, arch)):
            return fmean(own[:_NEWEST])
        usual = self._usual(arch)
        others = [
            fmean(found[:_NEWEST]) * usual / self._usual(other)
            for other in self.of_arch
            if (found := self.of_image.get((name, other)))
        ]
        return fmean(others) if others else usual

    def _usual(self, arch: str) -> float:
        found = self.of_arch.get(arch)
        return max(median(found), 0.1) if found else DEFAULT_DURATION


def read_expectations(store: Store, images: Sequence[tuple[str, str]]) -> Expectations:
    """How long earlier builds of these images (repository, architecture) took."""
    return Expectations(durations_by_image(store, images), durations_by_arch(store, ARCHES))


def run_ranks(works: Sequence[PackageWork], expected: Expectations) -> dict[str, float]:
    """The ranks of a run's packages: the seconds from the start of each to the end of all that need it."""
    needs = {work.package: work.needs for work in works}
    own = {
        work.package: max((expected.seconds(work.reference.name, job.arch) for job in work.jobs), default=0.0)
        + PUBLISHING
        for work in works
    }
    return ranks(needs, own, in_order(own, needs))
