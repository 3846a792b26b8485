"""A simulation carries out the farm's own order of jobs, and is nearly as fast as can be."""

from __future__ import annotations

import random

import pytest

from benchmarks.generated_tree import KINDS, make_tree
from farm.graph.order import in_order
from farm.model import RunPriority
from farm.planning.job_order import ranks
from farm.planning.simulate import ExpectedRun, ExpectedWork, simulate


def one_run(*works: ExpectedWork, **facts: object) -> ExpectedRun:
    own = {work.package: max(work.builds.values(), default=0.0) for work in works}
    needs = {work.package: work.needs for work in works}
    return ExpectedRun("r1", works, ranks(needs, own, in_order(own, needs)), **facts)  # type: ignore[arg-type]


def test_dependents_start_when_what_they_need_is_published() -> None:
    found = simulate(
        [
            one_run(
                ExpectedWork("a", {"amd64": 10.0}, publishing=2.0), ExpectedWork("b", {"amd64": 5.0}, ("a",))
            )
        ],
        {"amd64": 4},
    )
    assert found.starts == {("r1", "a", "amd64"): 0.0, ("r1", "b", "amd64"): 12.0}
    assert found.ends == {("r1", "a"): 12.0, ("r1", "b"): 17.0}


def test_the_longest_way_is_first_on_a_worker_for_one_build_at_a_time() -> None:
    works = [ExpectedWork(name, {"amd64": seconds}) for name, seconds in (("a", 1.0), ("b", 9.0), ("c", 5.0))]
    found = simulate([one_run(*works)], {"amd64": 1}, most=lambda *_: 1)
    assert sorted(found.starts, key=found.starts.__getitem__) == [("r1", name, "amd64") for name in "bca"]


def test_what_is_in_progress_holds_its_worker() -> None:
    begun = ExpectedWork("a", {"amd64": 3.0}, begun=frozenset({"amd64"}))
    found = simulate([one_run(begun, ExpectedWork("b", {"amd64": 1.0}))], {"amd64": 1})
    assert found.starts == {("r1", "b", "amd64"): 3.0}


def test_without_a_worker_a_job_never_starts_and_the_rest_goes_on() -> None:
    works = [ExpectedWork("a", {"amd64": 1.0, "s390x": 1.0}), ExpectedWork("b", {"amd64": 1.0})]
    found = simulate([one_run(*works)], {"amd64": 1})
    assert ("r1", "a", "s390x") not in found.starts
    assert found.ends.keys() == {("r1", "b")}


def test_a_small_push_does_not_wait_for_a_mass_rebuild() -> None:
    mass = ExpectedRun("r1", [ExpectedWork(f"p{n}", {"amd64": 10.0}) for n in range(200)], {}, "mass")
    small = ExpectedRun("r2", [ExpectedWork("p", {"amd64": 10.0})], {}, "person", RunPriority.NORMAL, 1.0)
    found = simulate([mass, small], {"amd64": 2})
    assert found.starts["r2", "p", "amd64"] <= 20.0


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("packages", [60, 200, 1000])
@pytest.mark.parametrize("workers", [3, 9, 30, 60])
def test_a_run_takes_hardly_longer_than_any_order_could_make_it(
    kind: str, packages: int, workers: int
) -> None:
    """The limit is the critical path, or all work divided by the workers, whichever is more."""
    tree = make_tree(kind, packages, workers, random.Random(packages * workers))
    assert tree.took(tree.order()) <= 1.10 * tree.least()
