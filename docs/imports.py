"""The picture of which way imports point, out of .importlinter."""

from __future__ import annotations

import configparser
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

BEGIN, END = "<!-- made by make docs: imports -->\n", "<!-- end -->\n"


def with_imports(page: str, rules: Path) -> str:
    """The page with the picture of the imports as they are allowed now."""
    before, _, rest = page.partition(BEGIN)
    _, found, after = rest.partition(END)
    if not found:
        raise ValueError(f"the page lacks the line {BEGIN!r} or {END!r}")
    return f"{before}{BEGIN}\n```mermaid\n{import_diagram(rules)}```\n\n{END}{after}"


def import_diagram(rules: Path) -> str:
    """The layers as a Mermaid flow chart; an arrow means: may import, as from all that stands above."""
    parser = configparser.ConfigParser()
    parser.read_string(rules.read_text())
    programs, farm = (
        [
            layer.split(" | ")
            for layer in parser[f"importlinter:contract:{name}"]["layers"].split("\n")
            if layer
        ]
        for name in ("programs", "farm")
    )
    lines = ["flowchart TD", *_layers("p", programs[:-1]), f"    subgraph {programs[-1][0]}"]
    lines += [f"    {line}" for line in _layers("f", farm)]
    lines += ["    end", f"    p{len(programs) - 2} --> {programs[-1][0]}"]
    return "".join(f"{line}\n" for line in lines)


def _layers(prefix: str, layers: list[list[str]]) -> Iterator[str]:
    names = [f"{prefix}{number}" for number in range(len(layers))]
    for name, layer in zip(names, layers, strict=True):
        yield f'    subgraph {name} [" "]'
        yield from (f"        {prefix}_{part}[{part}]" for part in layer)
        yield "    end"
    yield from (f"    {upper} --> {lower}" for upper, lower in pairwise(names))
