"""The order in which packages can be built, and the longest chain of them."""

from __future__ import annotations

import pytest

from farm.errors import InputError
from farm.graph.order import critical_path, in_order, reachable, reversed_edges, waves

NEEDS = {"d": ["b", "c"], "b": ["a"], "c": ["a"]}


def test_each_wave_needs_only_earlier_ones() -> None:
    assert waves("abcde", NEEDS) == [["a", "e"], ["b", "c"], ["d"]]


def test_names_that_are_not_asked_for_do_not_count() -> None:
    assert waves("bd", NEEDS) == [["b"], ["d"]]


def test_a_cycle_is_an_error_that_names_it() -> None:
    with pytest.raises(InputError, match=r"a cycle: (a → b → a|b → a → b)"):
        in_order("ab", {"a": ["b"], "b": ["a"]})


def test_the_critical_path_is_the_heaviest_chain() -> None:
    weights = {"a": 1.0, "b": 5.0, "c": 2.0, "d": 1.0, "e": 6.5}
    assert critical_path("abcde", NEEDS, weights.__getitem__) == ["a", "b", "d"]
    assert critical_path("abcde", NEEDS, {**weights, "e": 8.0}.__getitem__) == ["e"]
    assert critical_path("", NEEDS, lambda _: 1.0) == []


def test_dependents_are_found_through_others() -> None:
    assert reachable(["b"], reversed_edges(NEEDS)) == {"b", "d"}
    assert reachable(["b", "d"], NEEDS) == {"a", "b", "c", "d"}
