"""Two maintainers push the same tree at the same time: the work is done once, and both pushes succeed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from farm.state.run_handles import RunHandle
from farm.state.runs import read_run
from tests.fault.network.outcome import ARCHES, assert_done, assert_published, write
from tests.support.farm_command import wait_until

if TYPE_CHECKING:
    from farm.state.records import JobRecord
    from tests.fault.network.outcome import Package
    from tests.fault.process import Process
    from tests.fault.rig import Rig

pytestmark = pytest.mark.timeout(900)


def jobs(farm: Rig, run: str) -> dict[str, JobRecord]:
    """The jobs of the one package of a run."""
    (package,) = read_run(RunHandle(farm.store, run)).packages.values()
    return package.jobs


def push_twice(farm: Rig, package: Package) -> list[tuple[Process, str]]:
    """Two pushes with their runs: the builds of the first are in progress, and those of the second wait."""
    first = farm.push(f"first-{package.name}", package.name)
    wait_until(lambda: all(farm.builds(package.reference, arch) for arch in ARCHES))
    one = farm.run_of(package.reference)
    second = farm.push(f"second-{package.name}", package.name)
    two = wait_until(lambda: (run := farm.run_of(package.reference)) != one and run)
    wait_until(lambda: all(job.waiting_for for job in jobs(farm, two).values()))
    assert one is not None
    return [(first, one), (second, two)]


def test_one_build_of_each_architecture_serves_both(farm: Rig) -> None:
    package = write(farm, "shared", step="sleep 4")["shared"]
    both = push_twice(farm, package)
    for push, _ in both:
        assert_done(push)
    states = [{job.state for job in jobs(farm, run).values()} for _, run in both]
    assert states == [{"built"}, {"exists"}]
    assert_published(farm, package)


def test_the_second_goes_on_where_the_first_is_cancelled(farm: Rig) -> None:
    package = write(farm, "dropped", step="sleep 4")["dropped"]
    (first, one), (second, _) = push_twice(farm, package)
    assert farm.ask("cancel", one).code == 0
    assert first.wait() == 1
    assert_done(second)
    assert {job.state for job in jobs(farm, one).values()} == {"cancelled"}
    assert_published(farm, package, builds=(2,))


def test_both_are_served_where_the_worker_of_the_first_dies(farm: Rig) -> None:
    package = write(farm, "orphaned", step="sleep 4")["orphaned"]
    both = push_twice(farm, package)
    farm.processes["amd64-1"].kill()
    farm.processes["amd64-1"].start().wait_ready()
    for push, _ in both:
        assert_done(push)
    assert [len(farm.builds(package.reference, arch)) for arch in ARCHES] == [2, 1]
    assert {read_run(RunHandle(farm.store, run)).state for _, run in both} == {"done"}
