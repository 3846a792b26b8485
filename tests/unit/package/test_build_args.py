"""Build arguments come from build.yml and from files, and may name other packages by their directories."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from farm.errors import InputError
from farm.package.build_args import read_file
from farm.package.read_packages import read_packages, resolve_build_args
from farm.package.tags import TagOptions
from tests.support.git_repos import commit_files

if TYPE_CHECKING:
    from pathlib import Path

USING = "image: user\nbuildArgs:\n- BASE=@lkt:pkg:../base\n- PLAIN=a=b\n"


def test_a_file_has_one_argument_per_line_and_comments(tmp_path: Path) -> None:
    (tmp_path / "args").write_text("# about\n\nA=1\nB=x=y\n  C=3  \n")
    assert read_file(tmp_path / "args") == ("A=1", "B=x=y", "C=3")


@pytest.mark.parametrize("text", ["A", "=1", "A=1\nB"])
def test_an_invalid_line_is_reported_with_its_number(tmp_path: Path, text: str) -> None:
    (tmp_path / "args").write_text(text)
    with pytest.raises(InputError, match=rf"args:{text.count(chr(10)) + 1}: .* is not NAME=VALUE"):
        read_file(tmp_path / "args")


def test_a_missing_file_is_reported(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        read_file(tmp_path / "none")


def test_a_submitted_package_has_the_tag_that_it_is_submitted_with(tmp_path: Path) -> None:
    repository = commit_files(tmp_path, {"user/build.yml": USING, "base/build.yml": "image: base\n"})
    options = TagOptions(org="localhost:5000/me")
    base, user = resolve_build_args(
        read_packages([f"{repository}/base", f"{repository}/user"], options), "build.yml"
    )
    (alone,) = resolve_build_args(read_packages([f"{repository}/user"], options), "build.yml")
    assert user.yml.build_args == (f"BASE={base.reference.familiar}", "PLAIN=a=b")
    assert alone.yml.build_args[0] == f"BASE=linuxkit/base:{base.hash}"


def test_a_pattern_gives_an_argument_for_each_package(tmp_path: Path) -> None:
    repository = commit_files(
        tmp_path,
        {
            "user/build.yml": "image: user\nbuildArgs: ['%_TAG=@lkt:pkgs:../base/*']\n",
            "base/one-a/build.yml": "image: one-a\n",
            "base/two/build.yml": "image: two\n",
            "base/.hidden/build.yml": "image: hidden\n",
            "base/file": "no package",
        },
    )
    (user,) = resolve_build_args(read_packages([f"{repository}/user"], TagOptions()), "build.yml")
    assert [text.partition(":")[0] for text in user.yml.build_args] == [
        "LINUXKIT_ONE_A_TAG=linuxkit/one-a",
        "LINUXKIT_TWO_TAG=linuxkit/two",
    ]


def test_a_directory_in_a_file_is_relative_to_the_file(tmp_path: Path) -> None:
    repository = commit_files(
        tmp_path, {"user/build.yml": "image: user\n", "base/build.yml": "image: base\n"}
    )
    (repository / "lists").mkdir()
    (repository / "lists" / "args").write_text("BASE=@lkt:pkg:../base\n")
    options = TagOptions(build_args=read_file(repository / "lists" / "args"))
    (user,) = resolve_build_args(read_packages([f"{repository}/user"], options), "build.yml")
    assert user.yml.build_args[0].startswith("BASE=linuxkit/base:")


@pytest.mark.parametrize(
    "arg", ["A=@lkt:other:x", "A=@lkt:pkgs:../*", "%A=@lkt:pkgs:../none*", "A=@lkt:pkg:../none"]
)
def test_a_value_that_names_no_package_is_refused_when_it_is_built_and_not_before(
    tmp_path: Path, arg: str
) -> None:
    repository = commit_files(tmp_path, {"user/build.yml": f"image: user\nbuildArgs: ['{arg}']\n"})
    (user,) = read_packages([f"{repository}/user"], TagOptions())
    assert user.yml.build_args == (arg,)
    with pytest.raises(InputError):
        resolve_build_args([user], "build.yml")


def test_options_override_build_yml(tmp_path: Path) -> None:
    repository = commit_files(
        tmp_path, {"user/build.yml": "image: user\nnetwork: true\nbuildArgs: [A=1, B=2]\n"}
    )
    options = TagOptions(
        network=False,
        disable_cache=True,
        disable_content_trust=True,
        dockerfile="sub/../Other",
        build_args=("A=3",),
    )
    (user,) = read_packages([f"{repository}/user"], options)
    assert (user.yml.network, user.yml.disable_cache, user.yml.disable_content_trust) == (False, True, True)
    assert (user.yml.dockerfile, user.yml.build_args) == ("Other", ("B=2", "A=3"))


@pytest.mark.parametrize("dockerfile", ["../Dockerfile", "/etc/passwd", "."])
def test_a_dockerfile_outside_the_package_is_refused(tmp_path: Path, dockerfile: str) -> None:
    repository = commit_files(tmp_path, {"user/build.yml": "image: user\n"})
    with pytest.raises(InputError, match="in the package's directory"):
        read_packages([f"{repository}/user"], TagOptions(dockerfile=dockerfile))
