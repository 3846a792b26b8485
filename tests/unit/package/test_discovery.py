"""What --all finds."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from farm.errors import InputError
from farm.package.read_packages import directories_below

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Packages at two depths, and a build.yml of git's."""
    for name in ("b", "a/c", ".git/d", "b/deep"):
        (tmp_path / name).mkdir(parents=True, exist_ok=True)
        (tmp_path / name / ("other.yml" if name == "b/deep" else "build.yml")).touch()
    return tmp_path


def test_every_package_below_a_directory_is_found(tree: Path) -> None:
    assert directories_below([str(tree)], "build.yml") == [str(tree / "a/c"), str(tree / "b")]
    assert directories_below([str(tree / "b")], "build.yml") == [str(tree / "b")]


def test_a_build_yml_deeper_in_the_package_names_the_package(tree: Path) -> None:
    assert directories_below([str(tree)], "deep/other.yml") == [str(tree / "b")]


@pytest.mark.parametrize("name", ["none.yml", "/abs/build.yml", "../build.yml", ""])
def test_finding_no_package_is_an_error(tree: Path, name: str) -> None:
    with pytest.raises(
        InputError, match=r"no package found below|must be a path below the package directory"
    ):
        directories_below([str(tree)], name)
