"""Before anything is built, a user learns which files are not: those that git or a Dockerfile passes over."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from farm.errors import GitError
from farm.package.check_files import check_files
from farm.package.dockerfile import base_images, dockerfiles, needs, sources_of
from farm.package.read_packages import read_packages
from farm.package.tags import TagOptions
from tests.support.git_repos import commit_files, write

if TYPE_CHECKING:
    from pathlib import Path

    from farm.model import Package

_OFFER = r"git add --force and commit it, or add --include-ignored"


def _package(path: Path, files: dict[str, str], ignored: str, *, include_ignored: bool = False) -> Package:
    """The package p of a repository, in which a file p/made was made that git ignores."""
    given = {"p/build.yml": "image: p\n", "common/lib/a.c": "", **files}
    commit_files(path, {".gitignore": f"{ignored}\n", **given})
    write(path, {"p/made": "made\n", "p/out/made": "made\n"})
    return read_packages([str(path / "p")], TagOptions(include_ignored=include_ignored))[0]


@pytest.mark.parametrize(
    ("step", "source"),
    [
        ("COPY made /", "made"),
        ("ADD --chown=1:1 ./made other /", "made"),
        ('COPY ["other", "/out/made", "/"]', "out/made"),
        ("COPY out /out", "out"),
        ("RUN --mount=type=bind,source=out/made,target=/x true", "out/made"),
    ],
)
def test_a_dockerfile_that_copies_a_file_which_git_ignores_is_refused(
    step: str, source: str, tmp_path: Path
) -> None:
    package = _package(tmp_path, {"p/Dockerfile": f"FROM alpine\n{step}\n", "p/other": ""}, "made\nout/")
    with pytest.raises(
        GitError, match=rf"p: its Dockerfile copies {source}, .*\(.gitignore:[12]: .*{_OFFER}"
    ):
        check_files([package])


@pytest.mark.parametrize(
    "step",
    [
        "COPY . /",
        "COPY other lib /",
        "COPY dir /dir",
        "COPY absent /",
        "COPY $made m*de /",
        "COPY --from=alpine made /",
        "ADD https://example.org/made /",
        "COPY <<made /x\nmade\nmade",
        "RUN --mount=type=bind,from=alpine,source=made true",
        "RUN --mount=type=cache,target=/made true",
    ],
)
def test_a_dockerfile_that_copies_something_else_is_not_refused(step: str, tmp_path: Path) -> None:
    files = {
        "p/build.yml": "image: p\nextra-sources: [../common/lib:lib]\n",
        "p/Dockerfile": f"FROM alpine\n{step}\n",
        **{f"p/{name}": "" for name in ("dir/x", "dir-x", "other")},
    }
    assert check_files([_package(tmp_path, files, "made")]) == ()


def test_the_whole_context_is_a_source_without_a_name() -> None:
    assert sources_of("FROM a\nCOPY ./ /x/../y /\nRUN --mount=target=/z true\n") == (".", "y")


def test_a_dockerfile_that_git_ignores_is_refused_with_the_rule(tmp_path: Path) -> None:
    package = _package(tmp_path, {"p/Dockerfile.in": "FROM scratch\n"}, "made\n/p/Dockerfile")
    write(tmp_path, {"p/Dockerfile": "FROM scratch\n"})
    with pytest.raises(
        GitError, match=rf"git ignores its Dockerfile \(.gitignore:2: /p/Dockerfile\), .*{_OFFER}"
    ):
        needs([package], base_images([package], {}, dockerfiles([package])))


def test_with_include_ignored_both_are_built(tmp_path: Path) -> None:
    commit_files(tmp_path, {".gitignore": "/p/Dockerfile\n", "p/build.yml": "image: p\n"})
    write(tmp_path, {"p/Dockerfile": "FROM scratch\nCOPY made /\n"})
    package = _package(tmp_path, {}, "made\n/p/Dockerfile", include_ignored=True)
    assert needs([package], base_images([package], {}, dockerfiles([package]))) == ({"linuxkit/p": ()}, ())
    assert check_files([package]) == ()


def test_ignore_files_of_docker_have_no_effect_and_a_warning_names_them(tmp_path: Path) -> None:
    names = ("Dockerfile.dockerignore", ".dockerignore", "dir/.dockerignore")
    files = {"p/Dockerfile": "FROM scratch\n", **{f"p/{name}": "*\n" for name in names}}
    (warning,) = check_files([_package(tmp_path, files, "made")])
    listed = f"{tmp_path}/p/.dockerignore, {tmp_path}/p/Dockerfile.dockerignore"
    assert warning == f"{listed} have no effect: as with linuxkit, the build context is the whole package"
