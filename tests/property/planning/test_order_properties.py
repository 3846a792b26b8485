"""For any dependencies between packages: an order that respects them, or an error that names the cycle."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from farm.errors import InputError
from farm.graph.order import in_order
from farm.planning.decide import make_plan
from farm.planning.plan import PublishedPackage, PushOptions
from tests.support.values import descriptor, image, package

_NAMES = [f"linuxkit/p{number}" for number in range(6)]
Needs = dict[str, list[str]]


@st.composite
def acyclic(draw: st.DrawFn) -> Needs:
    """Packages in any order, each depending on some that come earlier in another order."""
    order = draw(st.permutations(_NAMES))
    needs = {
        name: draw(st.lists(st.sampled_from(order[:at]), unique=True)) if at else []
        for at, name in enumerate(order)
    }
    return {name: needs[name] for name in draw(st.permutations(_NAMES))}


@given(acyclic())
def test_each_package_comes_once_and_after_all_of_its_dependencies(needs: Needs) -> None:
    order = in_order({name: package(name) for name in needs}, needs)
    assert sorted(order) == sorted(needs)
    assert all(order.index(need) < order.index(name) for name in order for need in needs[name])


@given(st.permutations(_NAMES))
def test_without_dependencies_the_given_order_is_kept(names: list[str]) -> None:
    assert in_order({name: package(name) for name in names}, {}) == names


@given(acyclic(), st.data())
def test_a_cycle_is_refused_and_its_packages_named(needs: Needs, data: st.DataObject) -> None:
    cycle = data.draw(st.lists(st.sampled_from(_NAMES), min_size=2, max_size=4, unique=True))
    for name, need in zip(cycle, [*cycle[1:], cycle[0]], strict=True):
        needs[name] = [*needs[name], need]
    try:
        in_order({name: package(name) for name in needs}, needs)
    except InputError as error:
        named = error.message.partition(": ")[2].split(" → ")
        assert named[0] == named[-1]
        links = itertools.pairwise(named)
        assert all(one in needs[other] or other in needs[one] for one, other in links)
    else:
        raise AssertionError(cycle)


@given(acyclic(), st.sets(st.sampled_from(_NAMES)))
def test_a_package_waits_for_exactly_the_dependencies_that_are_not_up_to_date(
    needs: Needs, up_to_date: set[str]
) -> None:
    complete = PublishedPackage(
        {"amd64": image("amd64")}, descriptor("index", None), frozenset({"amd64"}), signed=True
    )
    published = dict.fromkeys(up_to_date, complete)
    given_packages = [package(name.removeprefix("linuxkit/")) for name in needs]
    plan = make_plan(given_packages, published, needs, PushOptions(("amd64",)))
    assert {item.package.image for item in plan.work} == set(needs) - up_to_date
    for item in plan.packages:
        assert set(item.needs) == set(needs[item.package.image]) - up_to_date
        assert (
            not item.needs or item.why() == f"build amd64; after {', '.join(item.needs)}" or item.up_to_date
        )
