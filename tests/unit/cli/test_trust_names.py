"""The arguments of `farm trust init`: a mistyped directory never gets keys."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from farm.cli.trust_init import guns_of
from farm.errors import InputError
from tests.support.git_repos import git

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current directory: a git repository with one package, pkg/foo, and other files."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pkg" / "foo").mkdir(parents=True)
    (tmp_path / "pkg" / "none").mkdir()
    (tmp_path / "pkg" / "foo" / "build.yml").write_text("image: foo\n")
    (tmp_path / "pkg" / "Makefile").touch()
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", "-A")
    git(tmp_path, "commit", "-qm", "packages")
    return tmp_path


@pytest.mark.usefixtures("repository")
@pytest.mark.parametrize(
    "name",
    ["pkg/fooo", "./pkg/fooo", "../pkg/foo", "foo", "linuxkit/foo", "docker.io", "docker.io/", "pkg/none",
     "pkg/Makefile", "docker.io/../foo", "docker.io/./foo", ".hidden/foo", "a..b/foo", "docker.io/Foo"],
)  # fmt: skip
def test_an_argument_that_is_neither_a_package_nor_a_name_with_its_registry_is_refused(name: str) -> None:
    with pytest.raises(InputError, match=f"^{re.escape(name)}: n(ot|either) a package directory"):
        guns_of(["pkg/foo", name], None)


@pytest.mark.usefixtures("repository")
def test_directories_and_names_result_in_each_gun_once() -> None:
    names = ["pkg/foo", "./pkg/foo", "localhost:5000/me/foo", "docker.io/linuxkit/bar", "[::1]:5000/a"]
    wanted = ["docker.io/linuxkit/foo", "localhost:5000/me/foo", "docker.io/linuxkit/bar", "[::1]:5000/a"]
    assert guns_of(names, None) == wanted
    assert guns_of(["pkg/foo"], "localhost:1/me") == ["localhost:1/me/foo"]
