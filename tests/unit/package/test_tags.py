"""Tags are what the real `linuxkit pkg show-tag` made of the same repository, but for two that are better."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from farm.errors import FarmError, InputError
from farm.package.git import tags_on_head
from farm.package.read_packages import read_packages
from farm.package.tags import TagOptions, render_tag
from tests.support.git_repos import commit_files, do, git, make_repository
from tests.unit.package.conftest import VECTORS

if TYPE_CHECKING:
    from pathlib import Path

_BETTER = {
    "extra source changed": "linuxkit/extra:4b681f870d44d1086759eaffbc87a03b531c0472-dirty-",
    "depends from file": "linuxkit/depok:",
}
_VALUES = ("org", "hash", "hash-commit", "hash-path", "tag", "build-yml")


def _answer(argv: list[str]) -> str:
    words, directories, options, canonical = iter(argv), [], {"user": "wombat"}, False
    for word in words:
        name = word.removeprefix("--")
        if not word.startswith("--"):
            directories.append(word)
        elif name == "canonical":
            canonical = True
        else:
            options[name.replace("-", "_")] = next(words) if name in _VALUES else True  # type: ignore[assignment]
    packages = read_packages(directories, TagOptions(**options))  # type: ignore[arg-type]
    return "".join(
        f"{package.reference if canonical else package.reference.familiar}\n" for package in packages
    )


@pytest.mark.parametrize("case", VECTORS["cases"], ids=lambda case: case["name"])
def test_tags_are_those_of_linuxkit(
    case: dict[str, Any], repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    do(repository, case["do"])
    monkeypatch.chdir(repository / case["cwd"])
    if case["name"] in _BETTER:
        assert _answer(case["argv"]).startswith(_BETTER[case["name"]])
    elif case["expect"]["exit"] == "error":
        with pytest.raises(FarmError):
            _answer(case["argv"])
    else:
        assert _answer(case["argv"]) == case["expect"]["stdout"]


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
