"""docs/security.md names only tests and files that exist."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from docs.generate import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PAGE = (ROOT / "docs" / "security.md").read_text()
_NAMED = re.compile(r"`((?:[\w.]+/)+[\w.]+)?(?:::)?(test_\w+)?(?:\[[^\]`]*\])?`")


def named_tests() -> Iterator[tuple[Path, str]]:
    """Each test that the page names, after its file; `::test_x` is in the file that was named last."""
    last = ROOT
    for file, test in _NAMED.findall(PAGE):
        last = ROOT / file if file.startswith("tests/") and file.endswith(".py") else last
        if test:
            yield last, test


def test_each_test_that_the_page_names_exists() -> None:
    missing = [
        f"{path.relative_to(ROOT)}::{test}"
        for path, test in named_tests()
        if not path.is_file() or f"def {test}(" not in path.read_text()
    ]
    assert missing == []


def test_each_file_that_the_page_names_exists() -> None:
    files = {file for file, _ in _NAMED.findall(PAGE) if file.endswith(".py")}
    assert [file for file in sorted(files) if not (ROOT / file).exists()] == []


def test_every_file_of_attacks_is_named() -> None:
    attacks = {path.name for path in (ROOT / "tests" / "attacks").glob("test_*.py")}
    assert [name for name in sorted(attacks) if f"tests/attacks/{name}" not in PAGE] == []
