"""The table and diagram of packages in docs/architecture.md, made from the docstrings of their `__init__`."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from docs.sections import with_section

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

_FACT = re.compile(r"(May import|Must not know|Public): (.*?)\.(?= [A-Z]|$)")
LOOSE: dict[str, tuple[str, ...]] = {"errors": ()}
"""The modules of farm that are in no package, and what they may import."""


@dataclass(frozen=True, slots=True)
class PackageDoc:
    """What the docstring of one package says."""

    name: str
    purpose: str
    imports: tuple[str, ...]
    """Packages and modules of farm that it may import, by their names in farm/."""
    unknown: str
    """What it must not know."""
    public: tuple[tuple[str, str], ...]
    """(name, module) of the names to start with."""

    @staticmethod
    def parse(name: str, text: str) -> PackageDoc:
        """Read a docstring: a first line, then `May import:`, `Must not know:` and `Public:`.

        Raises:
            ValueError: one of the three is missing.
        """
        purpose, *paragraphs = (" ".join(part.split()) for part in text.strip().split("\n\n"))
        facts = dict(_FACT.findall(" ".join(paragraphs)))
        if len(facts) != 3:  # noqa: PLR2004 - the three that the pattern names
            raise ValueError(f"{name}: the docstring lacks one of May import, Must not know, Public")
        imports = tuple(part for part in re.split(r", ", facts["May import"]) if part != "nothing")
        public = tuple(re.findall(r"([\w.]+) \(([\w.]+)\)", facts["Public"]))
        return PackageDoc(name, purpose.rstrip("."), imports, facts["Must not know"], public)


def package_docs(farm: Path) -> list[PackageDoc]:
    """The docstrings of all packages and loose modules of farm/, those that import least first."""
    docs = [PackageDoc.parse(path.parent.name, docstring(path)) for path in farm.glob("*/__init__.py")]
    for name, imports in LOOSE.items():
        purpose = docstring(farm / f"{name}.py").partition("\n")[0].rstrip(".")
        docs.append(PackageDoc(name, purpose, imports, "", ()))
    reach = reachable(docs)
    return sorted(docs, key=lambda doc: (len(reach[doc.name]), doc.name))


def docstring(path: Path) -> str:
    """The docstring of a module; empty where it has none."""
    return ast.get_docstring(ast.parse(path.read_text())) or ""


def reachable(docs: Iterable[PackageDoc]) -> dict[str, frozenset[str]]:
    """Package name to everything that it may import, directly or through others.

    Raises:
        ValueError: two may import each other.
    """
    direct, found = {doc.name: doc.imports for doc in docs}, dict[str, frozenset[str]]()

    def visit(name: str, above: tuple[str, ...]) -> frozenset[str]:
        if name in above:
            raise ValueError(f"import cycle: {' → '.join((*above, name))}")
        if name not in found:
            below = (visit(part, (*above, name)) for part in direct[name])
            found[name] = frozenset(direct[name]).union(*below)
        return found[name]

    for name in direct:
        visit(name, ())
    return found


def with_packages(page: str, farm: Path) -> str:
    """The page with the table and the diagram as the docstrings are now."""
    docs = package_docs(farm)
    return with_section(page, "packages", f"{table(docs)}\n```mermaid\n{diagram(docs)}```\n")


def table(docs: Iterable[PackageDoc]) -> str:
    """One row for each package."""
    head = "| in `farm/` | purpose | start with | must not know |\n| --- | --- | --- | --- |\n"
    return head + "".join(_row(doc) for doc in docs)


def _row(doc: PackageDoc) -> str:
    suffix = ".py" if doc.name in LOOSE else "/"
    start = ", ".join(f"`{name}`" for name, _ in doc.public)
    return f"| `{doc.name}{suffix}` | {doc.purpose} | {start} | {doc.unknown} |\n"


def diagram(docs: list[PackageDoc]) -> str:
    """A Mermaid flow chart; an arrow means "may import", and arrows that follow from others are left out."""
    reach = reachable(docs)
    lines = ["flowchart BT"]
    for doc in docs:
        indirect = frozenset[str]().union(*(reach[part] for part in doc.imports))
        lines += [f"    {part} --> {doc.name}" for part in sorted(set(doc.imports) - indirect)]
    return "".join(f"{line}\n" for line in lines)
