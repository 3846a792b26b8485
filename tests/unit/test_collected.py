"""No test is written and never run."""

from __future__ import annotations

from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest

TESTS = Path(__file__).parent.parent


def test_no_directory_of_tests_is_passed_over_for_its_name(pytestconfig: pytest.Config) -> None:
    passed_over = pytestconfig.getini("norecursedirs")
    directories = {part for file in TESTS.rglob("test_*.py") for part in file.relative_to(TESTS).parts[:-1]}
    assert [one for one in sorted(directories) if any(fnmatch(one, pattern) for pattern in passed_over)] == []
