"""Two maintainers push the same tree at the same time: the work is done once, and both pushes succeed."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

import pytest

from farm.state.run_handles import RunHandle
from farm.state.runs import read_run
from tests.fault.network.outcome import ARCHES, assert_done, assert_published, write
from tests.fault.rig import Backend
from tests.support.farm_command import wait_until
from tests.support.proxy.tripwire import Hold

if TYPE_CHECKING:
    from collections.abc import Iterator

    from farm.state.records import JobRecord
    from tests.fault.network.outcome import Package
    from tests.fault.process import Process
    from tests.fault.rig import Rig

pytestmark = pytest.mark.timeout(900)


def jobs(farm: Rig, run: str) -> dict[str, JobRecord]:
    """The jobs of the one package of a run."""
    (package,) = read_run(RunHandle(farm.store, run)).packages.values()
    return package.jobs


@contextmanager
def pushed_twice(farm: Rig, package: Package) -> Iterator[list[tuple[Process, str]]]:
    """Two pushes with their runs; inside, the builds of the first are in progress, and the second waits."""
    with ExitStack() as held:
        for arch in ARCHES:
            pattern = rf"POST /\S*/build\?\S*{package.tag}-{arch}&"
            held.enter_context(farm.tripwire(Backend.ENGINE, pattern, Hold.AFTER))
        first = farm.push(f"first-{package.name}", package.name)
        wait_until(lambda: all(farm.builds(package.reference, arch) for arch in ARCHES))
        one = farm.run_of(package.reference)
        second = farm.push(f"second-{package.name}", package.name)
        two = wait_until(lambda: (run := farm.run_of(package.reference)) != one and run)
        wait_until(lambda: all(job.waiting_for for job in jobs(farm, two).values()))
        assert one is not None
        yield [(first, one), (second, two)]


def test_one_build_of_each_architecture_serves_both(farm: Rig) -> None:
    package = write(farm, "shared")["shared"]
    with pushed_twice(farm, package) as both:
        pass
    for push, _ in both:
        assert_done(push)
    states = [{job.state for job in jobs(farm, run).values()} for _, run in both]
    assert states == [{"built"}, {"exists"}]
    assert_published(farm, package)


def test_the_second_goes_on_where_the_first_is_cancelled(farm: Rig) -> None:
    package = write(farm, "dropped")["dropped"]
    with pushed_twice(farm, package) as ((first, one), (second, _)):
        assert farm.ask("cancel", one).code == 0
        assert first.wait() == 1
    assert_done(second)
    assert {job.state for job in jobs(farm, one).values()} == {"cancelled"}
    assert_published(farm, package, builds=(2,))


def test_both_are_served_where_the_worker_of_the_first_dies(farm: Rig) -> None:
    package = write(farm, "orphaned")["orphaned"]
    with pushed_twice(farm, package) as both:
        farm.processes["amd64-1"].kill()
    farm.processes["amd64-1"].start().wait_ready()
    for push, _ in both:
        assert_done(push)
    assert [len(farm.builds(package.reference, arch)) for arch in ARCHES] == [2, 1]
    assert {read_run(RunHandle(farm.store, run)).state for _, run in both} == {"done"}
