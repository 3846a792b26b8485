"""The git tag on HEAD is the release only where it is that of all packages."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from farm.errors import InputError
from farm.package.git import tags_on_head
from tests.support.git_repos import commit, git, make_repository, write

if TYPE_CHECKING:
    from pathlib import Path


def _package(repository: Path, *tags: str) -> str:
    """A package of a repository of its own, whose HEAD has these tags."""
    write(make_repository(repository), {"p/build.yml": "image: p\n"})
    commit(repository)
    for tag in tags:
        git(repository, "tag", tag)
    return str(repository / "p")


def test_a_tag_that_all_repositories_have_is_that_of_their_packages(tmp_path: Path) -> None:
    both = [_package(tmp_path / name, "v9", "v10") for name in "ab"]
    assert tags_on_head(both) == ["v10", "v9"]


def test_without_a_tag_on_any_head_there_is_none(tmp_path: Path) -> None:
    assert tags_on_head([_package(tmp_path / "a"), _package(tmp_path / "b")]) == []
    assert tags_on_head([str(make_repository(tmp_path / "empty"))]) == []


@pytest.mark.parametrize("other", [(), ("v8",), ("v8", "v9")])
def test_a_tag_of_one_repository_does_not_release_the_packages_of_another(
    tmp_path: Path, other: tuple[str, ...]
) -> None:
    packages = [_package(tmp_path / "a", "v9"), _package(tmp_path / "b", *other)]
    with pytest.raises(InputError, match="different tags on HEAD") as caught:
        tags_on_head(packages)
    assert f"{tmp_path}/a: v9; {tmp_path}/b: {', '.join(other) or 'none'}" in caught.value.message
    assert caught.value.hint == "--release=TAG selects one, --release= releases nothing"
