"""Templates of tags, and the git tags that name a release."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from farm.errors import InputError
from farm.package.git import tags_on_head
from farm.package.tags import render_tag
from tests.support.git_repos import commit_files, git, make_repository

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("template", "tag"),
    [("{{.Hash}}", "ab"), ("v1-{{ .Hash }}", "v1-ab"), ("v9", "v9"), ("{{.Hash}}-{{.Hash}}", "ab-ab")],
)
def test_a_template_is_filled_in(template: str, tag: str) -> None:
    assert render_tag(template, "ab") == tag


@pytest.mark.parametrize("template", ["{{.Commit}}", "{{.Hash", "{{if .Hash}}x{{end}}"])
def test_a_template_with_another_placeholder_is_refused(template: str) -> None:
    with pytest.raises(InputError, match="invalid tag template"):
        render_tag(template, "ab")


def _package(repository: Path, *tags: str) -> str:
    """A package of a repository of its own, whose HEAD has these tags."""
    commit_files(repository, {"p/build.yml": "image: p\n"})
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
