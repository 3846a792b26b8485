"""A graph as an indented tree: below each package, those that use it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from farm.graph.graph import UseKind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from farm.graph.graph import Graph, Use

_BRANCH, _LAST = "├── ", "└── "
_BELOW = {"": "", _BRANCH: "│   ", _LAST: "    "}
"""What precedes the lines below a package."""


def tree_lines(graph: Graph) -> Iterator[str]:
    """The packages as trees, then the waves, the critical path, and what is stale."""
    tree = _Tree(graph)
    # First those that use none; what is then left uses one another in a cycle.
    for name in sorted(graph.packages, key=lambda name: bool(graph.uses_of[name])):
        if name not in tree.drawn:
            yield from tree.lines(name)
    yield ""
    yield from _summary(graph)


class _Tree:
    """The trees of a graph; what is below a package is drawn once."""

    def __init__(self, graph: Graph) -> None:
        self.drawn: set[str] = set()
        self._packages = graph.packages
        self._users: dict[str, dict[str, Use]] = {}
        for use in graph.uses:
            self._users.setdefault(use.used, {}).setdefault(use.user, use)

    def lines(self, root: str) -> Iterator[str]:
        """The package and all below it."""
        # Not recursive: a chain may be longer than Python's stack.
        left = [("", "", root, "")]
        while left:
            prefix, branch, name, note = left.pop()
            users = [] if name in self.drawn else list(self._users.get(name, {}).items())
            above = "  (see above)" if name in self.drawn and name in self._users else ""
            yield f"{prefix}{branch}{self._packages[name].reference.short}{note}{above}"
            self.drawn.add(name)
            below = prefix + _BELOW[branch]
            branches = [_BRANCH] * (len(users) - 1) + [_LAST]
            rows = [
                (below, mark, user, _note(use)) for mark, (user, use) in zip(branches, users, strict=False)
            ]
            left += reversed(rows)


def _note(use: Use) -> str:
    if use.stale and use.reference:
        return f"  stale: uses {use.reference.short.rpartition(':')[2]}"
    return "" if use.kind is UseKind.BASE else f"  {use.kind}"


def _summary(graph: Graph) -> Iterator[str]:
    sizes = ", ".join(str(len(wave)) for wave in graph.waves)
    yield (
        f"{len(graph.packages)} packages, {len(graph.uses)} references to one another, "
        f"{len(graph.stale)} of them stale"
    )
    yield f"{len(graph.waves)} waves of builds: {sizes}"
    yield f"critical path: {' → '.join(graph.critical_path)}"
