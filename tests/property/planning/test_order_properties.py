"""For any packages that need one another: an order that heeds it, or a circle that is named."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from farm.errors import InputError
from farm.planning.decide import PushOptions, in_order, make_plan
from farm.planning.plan import Found
from tests.support.values import descriptor, image, package

_NAMES = [f"linuxkit/p{number}" for number in range(6)]
Needs = dict[str, list[str]]


@st.composite
def acyclic(draw: st.DrawFn) -> Needs:
    """Packages in any order, each in need of some that come earlier in another order."""
    order = draw(st.permutations(_NAMES))
    needs = {
        name: draw(st.lists(st.sampled_from(order[:at]), unique=True)) if at else []
        for at, name in enumerate(order)
    }
    return {name: needs[name] for name in draw(st.permutations(_NAMES))}


@given(acyclic())
def test_each_comes_once_and_after_all_that_it_needs(needs: Needs) -> None:
    order = in_order({name: package(name) for name in needs}, needs)
    assert sorted(order) == sorted(needs)
    assert all(order.index(need) < order.index(name) for name in order for need in needs[name])


@given(st.permutations(_NAMES))
def test_without_needs_they_stay_as_they_were_given(names: list[str]) -> None:
    assert in_order({name: package(name) for name in names}, {}) == names


@given(acyclic(), st.data())
def test_a_circle_is_refused_and_its_packages_named(needs: Needs, data: st.DataObject) -> None:
    circle = data.draw(st.lists(st.sampled_from(_NAMES), min_size=2, max_size=4, unique=True))
    for name, need in zip(circle, [*circle[1:], circle[0]], strict=True):
        needs[name] = [*needs[name], need]
    try:
        in_order({name: package(name) for name in needs}, needs)
    except InputError as error:
        named = error.message.partition(": ")[2].split(" → ")
        assert named[0] == named[-1]
        links = itertools.pairwise(named)
        assert all(one in needs[other] or other in needs[one] for one, other in links)
    else:
        raise AssertionError(circle)


@given(acyclic(), st.sets(st.sampled_from(_NAMES)))
def test_a_package_waits_for_exactly_those_needs_that_do_not_stand(needs: Needs, standing: set[str]) -> None:
    stands = Found({"amd64": image("amd64")}, descriptor("index", None), frozenset({"amd64"}), signed=True)
    found = dict.fromkeys(standing, stands)
    given_packages = [package(name.removeprefix("linuxkit/")) for name in needs]
    plan = make_plan(given_packages, found, needs, PushOptions(("amd64",)))
    assert {item.package.image for item in plan.todo} == set(needs) - standing
    for item in plan.packages:
        assert set(item.needs) == set(needs[item.package.image]) - standing
