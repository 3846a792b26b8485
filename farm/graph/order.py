"""In which order packages can be built: pure functions over names and what each of them needs."""

from __future__ import annotations

from graphlib import CycleError, TopologicalSorter
from typing import TYPE_CHECKING

from farm.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping

    Needs = Mapping[str, Collection[str]]
    """Name to the names that it needs; one that is missing needs none."""


def in_order(names: Iterable[str], needs: Needs) -> list[str]:
    """The names, each after those that it needs, otherwise in the given order; a cycle is an InputError."""
    return [name for wave in waves(names, needs) for name in wave]


def waves(names: Iterable[str], needs: Needs) -> list[list[str]]:
    """The names in groups: each group needs only names of the groups before; a cycle is an InputError."""
    known = dict.fromkeys(names)
    sorter = TopologicalSorter({name: [one for one in needs.get(name, ()) if one in known] for name in known})
    try:
        sorter.prepare()
    except CycleError as error:
        raise InputError(f"packages depend on one another in a cycle: {' → '.join(error.args[1])}") from error
    found: list[list[str]] = []
    while sorter.is_active():
        found.append(list(sorter.get_ready()))
        sorter.done(*found[-1])
    return found


def critical_path(names: Iterable[str], needs: Needs, weight: Callable[[str], float]) -> list[str]:
    """The chain of names with the largest sum of weights, each needed by the next; [] without names.

    However many are built at once, all of them take as long as this chain.
    """
    longest: dict[str, float] = {}
    before: dict[str, str] = {}
    for name in in_order(names, needs):
        needed = [one for one in needs.get(name, ()) if one in longest]
        if needed:
            before[name] = max(needed, key=longest.__getitem__)
        longest[name] = weight(name) + (longest[before[name]] if needed else 0.0)
    path = [max(longest, key=longest.__getitem__)] if longest else []
    while path and path[-1] in before:
        path.append(before[path[-1]])
    return path[::-1]


def reachable(start: Iterable[str], edges: Needs) -> set[str]:
    """The names that can be reached from these along the edges, and these."""
    found, left = set(start), list(start)
    while left:
        new = set(edges.get(left.pop(), ())) - found
        found |= new
        left += new
    return found


def reversed_edges(edges: Needs) -> dict[str, list[str]]:
    """Name to those that need it, in the order of the edges."""
    found: dict[str, list[str]] = {}
    for name, others in edges.items():
        for other in others:
            found.setdefault(other, []).append(name)
    return found
