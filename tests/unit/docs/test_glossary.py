"""The code and the documents use the terms of docs/glossary.md, and none of those that it replaced."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
PRODUCT = [path for folder in ("farm", "tasks", "workers") for path in sorted((ROOT / folder).rglob("*.py"))]
# The glossary and the changelog name what was replaced.
EXEMPT = {"glossary.md", "CHANGELOG.md"}
PAGES = [path for path in (*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")) if path.name not in EXEMPT]
SCRIPTS = list((ROOT / "farm").rglob("*.lua"))
TERMS = re.findall(r"^\| \*\*(.+?)\*\* \|", (ROOT / "docs" / "glossary.md").read_text(), re.MULTILINE)
RETIRED = (
    "wish(?:es|ed)?|told|heard|stands|stood|standing|ours|care|len[dt]|goodbye|seen? to|in hand|"
    "signs? of life|come to stand"
)


def words(text: str) -> str:
    """Text in lower case, in which names in snake_case and CamelCase are words."""
    apart = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", text)
    return re.sub(r"[\s_-]+", " ", apart).lower()


CODE = words("\n".join(path.read_text() for path in (*PRODUCT, *SCRIPTS)))


@pytest.mark.parametrize("term", TERMS)
def test_every_term_of_the_glossary_occurs_in_the_code(term: str) -> None:
    assert words(term) in CODE


def test_the_glossary_defines_each_term_once() -> None:
    assert len(TERMS) > 40
    assert sorted(TERMS) == sorted(set(TERMS))


@pytest.mark.parametrize("path", [*PRODUCT, *SCRIPTS, *PAGES], ids=lambda path: str(path.relative_to(ROOT)))
def test_no_retired_term_is_used(path: Path) -> None:
    pattern = re.compile(rf"\b(?:{RETIRED})\b")
    found = [
        f"{number}: {line.strip()}"
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if pattern.search(line.lower()) or pattern.search(words(line))
    ]
    assert found == []


def test_no_two_classes_share_a_name() -> None:
    places = defaultdict(list)
    for path in PRODUCT:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef):
                places[node.name].append(str(path.relative_to(ROOT)))
    assert {name: files for name, files in places.items() if len(files) > 1} == {}
