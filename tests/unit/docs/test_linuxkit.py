"""docs/linuxkit.md lists every flag of `farm pkg`, and names only tests that exist."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import click
import pytest

from docs.generate import ROOT
from farm.cli.cache import command as cache
from farm.cli.pkg.verbs import VERBS, pkg
from tests.support.linuxkit_help import RECORDED

if TYPE_CHECKING:
    from collections.abc import Iterator

PAGE = (ROOT / "docs" / "linuxkit.md").read_text()
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in PAGE.splitlines()
    if line.startswith("| ") and not line.startswith("| ---")
]
_TEST = r"`[a-z]+/[^\s`]+\.py(?:::test_\w+)?`"
_TESTS = re.compile(rf"{_TEST}(?:, {_TEST})*")


RECORDED_VERBS: dict[str, dict[str, str]] = json.loads(RECORDED.read_text())["verbs"]


def flags(name: str) -> set[str]:
    """Every long flag of a verb of `farm pkg`, or of all verbs of `farm cache`."""
    verb = pkg.get_command(click.Context(pkg), name)
    verbs = list(cache.commands.values()) if name == "cache" else [verb] if verb else []
    assert verbs
    words = (word for one in verbs for parameter in one.params for word in parameter.opts)
    return {word for word in words if word.startswith("--")}


def sections() -> Iterator[tuple[str, str]]:
    """The verbs of each heading `Flags of ...`, and each flag in the rows below it."""
    verbs = ""
    for line in PAGE.splitlines():
        if line.startswith("## "):
            verbs = line.removeprefix("## Flags of ") if line.startswith("## Flags of ") else ""
        elif verbs and line.startswith("| "):
            yield from ((verbs, flag) for flag in re.findall(r"`(--[a-z-]+)`", line.split("|")[1]))


@pytest.mark.parametrize(("verbs", "flag"), sorted(set(sections())))
def test_a_flag_is_listed_under_the_verbs_that_have_it(verbs: str, flag: str) -> None:
    """Under `every verb` all verbs have it; under another heading at least one of the named verbs has it."""
    if verbs == "every verb":
        assert all(flag in flags(name) for name in VERBS)
    else:
        assert any(flag in flags(name) for name in re.split(", | and ", verbs))


@pytest.mark.parametrize("flag", sorted(set().union(*map(flags, VERBS))))
def test_every_flag_of_pkg_has_a_row(flag: str) -> None:
    assert any(re.search(rf"`{flag}`", row[0]) for row in ROWS)


def test_a_flag_that_linuxkit_does_not_have_today_is_marked_with_its_year() -> None:
    today = {flag for recorded in RECORDED_VERBS.values() for flag in recorded}
    old = {flag for _, flag in sections()} - today
    unmarked = {flag for flag in old if not any(f"`{flag}` (2021)" in row[0] for row in ROWS)}
    assert (unmarked, "--image" in old) == (set(), True)


def test_every_row_names_its_tests() -> None:
    rows = [row for row in ROWS if row[-1] != "test"]
    assert len(rows) > 80
    assert [row for row in rows if len(row) != 3 or not _TESTS.fullmatch(row[2])] == []


def test_every_named_test_exists() -> None:
    missing = []
    named = {test for row in ROWS for test in re.findall(_TEST, row[-1])}
    for path, _, name in (test.strip("`").partition("::") for test in sorted(named)):
        file = ROOT / "tests" / path
        if not file.exists() or (name and f"def {name}(" not in file.read_text()):
            missing.append(f"{path}::{name}")
    assert missing == []
