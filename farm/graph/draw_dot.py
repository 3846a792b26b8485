"""A graph in the language of Graphviz, and as SVG, which its program `dot` draws.

https://graphviz.org/doc/info/lang.html
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from farm.errors import FarmError
from farm.graph.graph import UseKind
from farm.system.processes import excerpt, run
from farm.system.programs import require

if TYPE_CHECKING:
    from collections.abc import Iterator

    from farm.graph.graph import Graph, Use

_TIMEOUT = 300.0
_STYLES = {UseKind.BASE: "solid", UseKind.IMAGE: "dashed", UseKind.SOURCE: "dotted"}


def dot_lines(graph: Graph) -> Iterator[str]:
    """An arrow from each package to each one that it uses; red is stale, bold the critical path."""
    yield "digraph farm {"
    yield "  rankdir=RL; node [shape=box, fontname=sans]; edge [fontname=sans, fontsize=10];"
    critical = set(graph.critical_path)
    for name, package in graph.packages.items():
        tag = package.reference.short.rpartition(":")[2]
        bold = ", penwidth=2" if name in critical else ""
        # The line break is Graphviz's escape.
        yield f"  {_quoted(name)} [label={_quoted(name, tag)}{bold}];"
    chain = {(user, used) for used, user in pairwise(graph.critical_path)}
    for use in graph.uses:
        how = _attributes(use, (use.user, use.used) in chain)
        yield f"  {_quoted(use.user)} -> {_quoted(use.used)} [{how}];"
    yield "}"


def _attributes(use: Use, critical: bool) -> str:
    found = [f"style={_quoted('bold' if critical else _STYLES[use.kind])}"]
    if use.stale and use.reference:
        found += ["color=red", f"label={_quoted(use.reference.short.rpartition(':')[2])}"]
    return ", ".join(found)


def _quoted(*lines: str) -> str:
    """Lines of text as a string of Graphviz."""
    escaped = (line.replace("\\", "\\\\").replace('"', '\\"') for line in lines)
    return '"' + "\\n".join(escaped) + '"'


def draw_svg(graph: Graph) -> bytes:
    """The graph as SVG.

    Raises:
        FarmError: Graphviz is not installed, or fails.
    """
    require("dot")
    late = FarmError(f"dot did not draw the graph within {_TIMEOUT:.0f} s", hint="choose --format dot")
    text = "\n".join(dot_lines(graph))
    done = run(["dot", "-Tsvg"], timeout=_TIMEOUT, late=late, given=text.encode())
    if done.returncode:
        raise FarmError(f"dot cannot draw the graph: {excerpt(done.stderr, 300)}", hint="choose --format dot")
    return done.stdout
