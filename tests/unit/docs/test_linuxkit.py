"""docs/linuxkit.md leaves out no flag of `farm pkg`, and names no test that is not there."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import click
import pytest

from docs.generate import ROOT
from farm.cli.pkg.group import VERBS, command

if TYPE_CHECKING:
    from collections.abc import Iterator

PAGE = (ROOT / "docs" / "linuxkit.md").read_text()
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in PAGE.splitlines()
    if line.startswith("| ") and not line.startswith("| ---")
]


def flags() -> Iterator[str]:
    """Every long flag of every verb."""
    for name in VERBS:
        verb = command.get_command(click.Context(command), name)
        assert verb is not None
        for parameter in verb.params:
            yield from (word for word in parameter.opts if word.startswith("--"))


@pytest.mark.parametrize("flag", sorted(set(flags())))
def test_every_flag_of_pkg_has_a_row(flag: str) -> None:
    assert any(re.search(rf"`{flag}`", row[0]) for row in ROWS)


def test_every_row_names_the_test_that_holds_it() -> None:
    rows = [row for row in ROWS if row[-1] != "test"]
    assert len(rows) > 80
    assert [
        row for row in rows if len(row) != 3 or not re.fullmatch(r"`[a-z]+/\S+\.py(::test_\w+)?`", row[2])
    ] == []


def test_every_test_that_is_named_exists() -> None:
    missing = []
    for path, _, name in {row[-1].strip("`").partition("::") for row in ROWS if row[-1] != "test"}:
        file = ROOT / "tests" / path
        if not file.exists() or (name and f"def {name}(" not in file.read_text()):
            missing.append(f"{path}::{name}")
    assert missing == []
