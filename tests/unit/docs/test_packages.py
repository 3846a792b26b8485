"""The docstring of each package is true: what it imports, what is below it, and where to start."""

from __future__ import annotations

import ast
import configparser
import importlib
import re
from pathlib import Path

import pytest

from docs.packages import PackageDoc, diagram, docstring, package_docs, reachable

ROOT = Path(__file__).resolve().parents[3]
FARM = ROOT / "farm"
DOCS = {doc.name: doc for doc in package_docs(FARM)}
TEXT = """Purpose of the package.

May import: errors, model.
Must not know: Redis, settings.
Public: Thing (things), make_thing (things.make).
"""


def imported(part: Path) -> set[str]:
    """The packages and modules of farm that the files of one import, type checking included."""
    files = part.rglob("*.py") if part.is_dir() else [part]
    found = set()
    for file in files:
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "farm":
                _, *below = node.module.split(".")
                found |= {below[0]} if below else {name.name for name in node.names}
    return found - {part.stem, "__version__"}


def layers() -> dict[str, int]:
    """Package name to the number of its layer in .importlinter; the lowest is 0."""
    parser = configparser.ConfigParser()
    parser.read_string((ROOT / ".importlinter").read_text())
    lines = [line for line in parser["importlinter:contract:farm"]["layers"].split("\n") if line]
    return {name: number for number, line in enumerate(reversed(lines)) for name in line.split(" | ")}


@pytest.mark.parametrize("name", DOCS)
def test_a_package_imports_only_what_its_docstring_says(name: str) -> None:
    part = FARM / name if (FARM / name).is_dir() else FARM / f"{name}.py"
    assert imported(part) - set(DOCS[name].imports) == set()


def test_no_record_with_a_json_form_is_a_tuple_which_json_dumps_writes_as_a_list() -> None:
    source = "\n".join(file.read_text() for file in FARM.rglob("*.py"))
    tuples = re.findall(r"^class \w+\(NamedTuple\):\n(?: .*\n|\n)+", source, re.MULTILINE)
    assert len(tuples) > 10
    assert [one for one in tuples if "def to_json" in one] == []


@pytest.mark.parametrize("name", DOCS)
def test_a_docstring_allows_only_imports_of_lower_layers(name: str) -> None:
    numbers = layers()
    assert [part for part in DOCS[name].imports if numbers[part] >= numbers[name]] == []


@pytest.mark.parametrize("name", [name for name in DOCS if (FARM / name).is_dir()])
def test_the_names_to_start_with_exist(name: str) -> None:
    assert DOCS[name].public
    for symbol, module in DOCS[name].public:
        assert hasattr(importlib.import_module(f"farm.{name}.{module}"), symbol), f"{module}.{symbol}"


def test_every_package_of_the_farm_is_described() -> None:
    parts = {path.stem for path in FARM.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    assert set(DOCS) == parts - {"__init__"} == set(layers())


def test_a_docstring_is_read_by_its_four_parts_and_refused_without_one_of_them() -> None:
    found = PackageDoc.parse("things", TEXT)
    assert found.purpose == "Purpose of the package"
    assert found.imports == ("errors", "model")
    assert found.unknown == "Redis, settings"
    assert found.public == (("Thing", "things"), ("make_thing", "things.make"))
    with pytest.raises(ValueError, match=r"things: the docstring lacks"):
        PackageDoc.parse("things", TEXT.replace("Must not know", "Knows"))


def test_packages_that_import_each_other_are_refused() -> None:
    pair = [PackageDoc("a", "", ("b",), "", ()), PackageDoc("b", "", ("a",), "", ())]
    with pytest.raises(ValueError, match="import cycle: a → b → a"):
        reachable(pair)


def test_the_diagram_leaves_out_arrows_that_follow_from_others() -> None:
    chain: dict[str, tuple[str, ...]] = {"a": (), "b": ("a",), "c": ("a", "b")}
    docs = [PackageDoc(name, "", imports, "", ()) for name, imports in chain.items()]
    assert diagram(docs) == "flowchart BT\n    a --> b\n    b --> c\n"


def test_every_package_outside_farm_has_a_docstring() -> None:
    assert all(docstring(ROOT / name / "__init__.py") for name in ("tasks", "workers", "lab", "benchmarks"))
