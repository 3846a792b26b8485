"""What is refused before a build, of packages that have to be built and of others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from farm.package.tags import TagOptions
from farm.planning.plan import PublishedPackage, PushOptions
from farm.planning.prepare_plan import plan_existing_images, prepare
from farm.settings import Settings
from tests.support.git_repos import commit, commit_files, git
from tests.support.values import image

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from farm.model import Package

_SETTINGS, _OPTIONS = Settings(sign=False), PushOptions(("amd64",), sign=False)


@pytest.fixture
def published(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """The architectures that a registry has of every package."""
    arches: set[str] = set()

    def look_up(packages: Sequence[Package], *_: Any) -> dict[str, PublishedPackage]:
        found = PublishedPackage({arch: image(arch) for arch in arches})
        return {package.image: found for package in packages}

    monkeypatch.setattr("farm.planning.look_up.look_up", look_up)
    return arches


def test_a_submodule_that_is_not_checked_out_is_refused_only_where_it_has_to_be_built(
    published: set[str], tmp_path: Path
) -> None:
    lib = commit_files(tmp_path / "lib", {"f": "x"})
    top = commit_files(tmp_path / "repo", {"p/build.yml": "image: p\n", "p/Dockerfile": "FROM scratch\n"})
    git(top, "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(lib), "p/lib")
    commit(top)
    git(top, "submodule", "--quiet", "deinit", "--all", "--force")
    asked = ([str(top / "p")], TagOptions(), _SETTINGS, _OPTIONS)
    (refusal,) = prepare(*asked).refusals
    assert "the submodule lib is not checked out" in str(refusal)
    published.add("amd64")
    assert prepare(*asked).refusals == plan_existing_images(*asked).refusals == ()
