"""A maintainer may be far from the farm's Redis: no package of many costs an exchange of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from farm.model import JobState, PackageState
from farm.scheduling import coordinator
from farm.state import transitions
from farm.state.records import JobPatch
from farm.state.runs import read_package
from tests.integration.state.steps import begin, drive
from tests.support.values import image, work

if TYPE_CHECKING:
    from collections.abc import Callable

    from farm.model import PackageWork
    from farm.state.store import Store
    from tests.integration.state.conftest import Farm

_MANY = 60


def exchanges(store: Store, act: Callable[[], object]) -> int:
    """How often Redis read from a client while something was done; more than once where it was much."""

    def reads() -> int:
        return int(store.text.info("stats")["total_reads_processed"])

    before = reads()
    act()
    return reads() - before


def packages(count: int, run: str, **facts: tuple[str, ...]) -> list[PackageWork]:
    return [work(f"{run}/p{number}", "amd64", "arm64", run=run, **facts) for number in range(count)]


def test_to_submit_a_package_among_many_takes_less_than_one_exchange(farm: Farm) -> None:
    farm.submit(*packages(1, "r0"), run="r0")  # opens the connections
    few = exchanges(farm.store, lambda: farm.submit(*packages(3, "r1"), run="r1"))
    many = exchanges(farm.store, lambda: farm.submit(*packages(_MANY, "r2"), run="r2"))
    assert many < few + _MANY


def test_to_start_a_dependent_among_many_takes_less_than_one_exchange(farm: Farm) -> None:
    farm.submit(work("linuxkit/foo", "amd64"), *packages(_MANY, "r1", needs=("linuxkit/foo",)))
    begin(farm.job)
    drive(farm.job, JobState.BUILT, JobPatch(image=image("amd64")))
    transitions.move_package(farm.foo, PackageState.PUBLISHING)
    transitions.move_package(farm.foo, PackageState.PUBLISHED)
    assert exchanges(farm.store, lambda: coordinator.start_dependents(farm.app, farm.foo)) < _MANY
    assert read_package(farm.r1.package(f"r1/p{_MANY - 1}")).state is PackageState.BUILDING
