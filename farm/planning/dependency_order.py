"""The order in which packages are built: dependencies first."""

from __future__ import annotations

from graphlib import CycleError, TopologicalSorter
from typing import TYPE_CHECKING

from farm.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence


def in_order(names: Iterable[str], needs: Mapping[str, Sequence[str]]) -> list[str]:
    """The names, each after those that it needs, otherwise in the given order.

    Raises:
        InputError: packages depend on one another in a cycle.
    """
    graph = TopologicalSorter({name: needs.get(name, ()) for name in names})
    try:
        return list(graph.static_order())
    except CycleError as error:
        raise InputError(f"packages depend on one another in a cycle: {' → '.join(error.args[1])}") from error
