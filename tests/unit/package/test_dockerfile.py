from __future__ import annotations

import platform
from typing import TYPE_CHECKING, Any

import pytest

from farm.errors import InputError
from farm.model import arch_of_uname
from farm.package.dockerfile import base_images, dockerfiles, images_of, is_from_scratch, needs
from farm.package.read_packages import read_packages
from farm.package.tags import TagOptions
from tests.support.git_repos import commit, commit_files, make_repository, write

if TYPE_CHECKING:
    from pathlib import Path

    from farm.model import Package


@pytest.mark.parametrize(
    ("text", "images"),
    [
        ("FROM alpine\n", ["alpine"]),
        ("from alpine:3.20 as x\nFROM x\n", ["alpine:3.20"]),
        ("FROM a AS Build\nFROM scratch\nCOPY --from=build /x /\n", ["a"]),
        ("FROM a\nFROM b\nCOPY --from=0 / /\n", ["a", "b"]),
        ("FROM --platform=$BUILDPLATFORM a:1 AS x\n", ["a:1"]),
        ("FROM scratch\nCOPY --chown=0:0 --from=b:2 / /\n", ["b:2"]),
        ("FROM scratch\nCOPY \\\n  --from=b \\\n  # why\n  / /\n", ["b"]),
        ("FROM a\nRUN --mount=type=bind,from=b:1,target=/b cat /b/x\n", ["a", "b:1"]),
        ("FROM a\nRUN --mount=from=s,target=/s true\nFROM a\n", ["a", "s"]),
        ("ARG V=1\nFROM a:$V\n", ["a:1"]),
        ("ARG V=1 W=${V}2\nFROM a:${W}\n", ["a:12"]),
        ('ARG V="1"\nFROM "a:${V}"\n', ["a:1"]),
        ("FROM a:${V:-2}\n", ["a:2"]),
        ("ARG V=3\nFROM a${V:+:$V}\n", ["a:3"]),
        ("ARG SET=1\nFROM a:$SET\n", ["a:given"]),
        ("ARG SET\nFROM a:$SET\n", ["a:given"]),
        ("FROM a:$SET\n", ["a:"]),
        ("FROM b\nARG SET=1\nFROM a:$SET\n", ["b", "a:"]),
        ("# FROM x\n\n  # comment\nFROM a\n", ["a"]),
        ("# escape=`\nFROM `\n  a\n", ["a"]),
        ("FROM a\nRUN <<EOF\nFROM b\nEOF\nFROM c\n", ["a", "c"]),
        ("FROM a\nRUN <<-'E1' cat && \\\n  <<E2 cat\nFROM b\n\tE1\nFROM b\nE2\nFROM c\n", ["a", "c"]),
        ("FROM a\r\nFROM b\r\n", ["a", "b"]),
        ("FROM a", ["a"]),
        ("FROM a AS b\nFROM later\nFROM x AS later\n", ["a", "later", "x"]),
        ("\ufeffFROM a\n", ["a"]),
        ("nonsense\n", []),
        ("", []),
    ],
)
def test_the_images_of_a_dockerfile_are_found(text: str, images: list[str]) -> None:
    assert [name for name, _ in images_of(text, {"SET": "given"})] == images


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("FROM a AS b\nFROM scratch\nCOPY --from=b / /\n", True),
        ("FROM scratch AS x\nCOPY . /\nFROM X\n", True),
        ("ARG BASE=scratch\nFROM ${BASE}\n", True),
        ("FROM scratch\nFROM a\n", False),
        ("FROM scratch AS x\nFROM a AS x\nFROM x\n", False),
        ("ARG SET=scratch\nFROM $SET\n", False),
        ("FROM scratch\nFROM $UNKNOWN\n", False),
        ("", False),
    ],
)
def test_an_image_without_the_layers_of_another_one_is_recognised(text: str, expected: bool) -> None:
    assert is_from_scratch(text, {"SET": "given"}) == expected


@pytest.mark.parametrize(
    ("flag", "arch"),
    [
        ("--platform=linux/s390x ", "s390x"),
        ('--platform="linux/$A" ', "arm64"),
        ("--platform=$BUILDPLATFORM ", arch_of_uname(platform.machine())),
        ("--platform=$TARGETPLATFORM ", None),
        ("", None),
    ],
)
def test_the_platform_of_a_base_image_is_found(flag: str, arch: str | None) -> None:
    assert images_of(f"ARG A=arm64\nFROM {flag}a AS x\n", {}) == (("a", arch),)


_HELLO = {"hello/build.yml": "image: hello\n", "hello/Dockerfile": "FROM alpine\n"}


def _packages(path: Path, files: dict[str, str]) -> list[Package]:
    commit_files(path, files)
    return read_packages(sorted({str((path / name).parent) for name in files}), TagOptions())


def _needs(
    packages: list[Package], args: dict[str, str] | None = None
) -> tuple[dict[str, tuple[str, ...]], tuple[str, ...]]:
    return needs(packages, base_images(packages, args or {}, dockerfiles(packages)))


def _hello(path: Path) -> str:
    return str(_packages(path, _HELLO)[0].reference.familiar)


def test_a_package_depends_on_the_package_of_its_base_image(tmp_path: Path) -> None:
    files = {
        **_HELLO,
        "by-name/build.yml": "image: by-name\n",
        "by-name/Dockerfile": f"FROM docker.io/{_hello(tmp_path / 'one')} AS x\nFROM x\n",
        "by-args/build.yml": f"image: by-args\nbuildArgs:\n- BASE={_hello(tmp_path / 'one')}\n",
        "by-args/Dockerfile": "ARG BASE\nFROM $BASE\n",
        "by-site/build.yml": "image: by-site\n",
        "by-site/Dockerfile": "ARG BASE\nFROM $BASE\n",
    }
    packages = _packages(tmp_path / "two", files)
    dependencies, warnings = _needs(packages, {"BASE": "alpine"})
    assert dependencies == {
        "linuxkit/by-args": ("linuxkit/hello",),
        "linuxkit/by-name": ("linuxkit/hello",),
        "linuxkit/by-site": (),
        "linuxkit/hello": (),
    }
    assert warnings == ()


def test_a_base_image_with_an_old_tag_of_another_package_is_a_warning(tmp_path: Path) -> None:
    files = {
        **_HELLO,
        "greeter/build.yml": "image: greeter\n",
        "greeter/Dockerfile": "FROM linuxkit/hello:0123\n",
        "self/build.yml": "image: self\n",
        "self/Dockerfile": "FROM linuxkit/self:0123\n",
    }
    packages = _packages(tmp_path, files)
    new = packages[1].reference.familiar
    dependencies, warnings = _needs(packages)
    assert warnings == (
        f"linuxkit/greeter: its base image is linuxkit/hello:0123, but this push makes {new}",
    )
    assert not any(dependencies.values())


def test_the_dockerfile_of_a_clean_package_is_the_committed_one(tmp_path: Path) -> None:
    """The working copy may be overlooked by git: what is built is what was committed."""
    files = {**_HELLO, "x/build.yml": "image: x\n", "x/Dockerfile": f"FROM {_hello(tmp_path / 'one')}\n"}
    packages = _packages(tmp_path / "two", files)
    write(tmp_path / "two", {"x/Dockerfile": "FROM alpine\n"})
    assert _needs(packages)[0]["linuxkit/x"] == ("linuxkit/hello",)
    dirty = read_packages([str(tmp_path / "two" / name) for name in ("hello", "x")], TagOptions())
    assert _needs(dirty)[0]["linuxkit/x"] == ()


def test_a_dockerfile_may_be_a_link_within_the_package_and_may_lie_in_an_extra_source(tmp_path: Path) -> None:
    make_repository(tmp_path)
    placed = "image: y\ndockerfile: lib/Dockerfile\nextra-sources: ['../common:lib']\n"
    files = {"x/build.yml": "image: x\n", "x/sub/Dockerfile": "FROM linuxkit/hello:1\n"}
    write(
        tmp_path, {**_HELLO, **files, "common/Dockerfile": "FROM linuxkit/hello:2\n", "y/build.yml": placed}
    )
    (tmp_path / "x/Dockerfile").symlink_to("sub/Dockerfile")
    commit(tmp_path)
    packages = read_packages([str(tmp_path / name) for name in ("hello", "x", "y")], TagOptions())
    assert [warning.partition(",")[0] for warning in _needs(packages)[1]] == [
        "linuxkit/x: its base image is linuxkit/hello:1",
        "linuxkit/y: its base image is linuxkit/hello:2",
    ]


@pytest.mark.parametrize("options", [{}, {"force_dirty": True}, {"include_ignored": True}])
def test_a_dockerfile_may_come_from_an_extra_source_at_the_top(
    options: dict[str, Any], tmp_path: Path
) -> None:
    yml = "image: x\nextra-sources: ['../common:.']\n"
    commit_files(tmp_path, {"x/build.yml": yml, "common/Dockerfile": "FROM a\n"})
    packages = read_packages([str(tmp_path / "x")], TagOptions(**options))
    assert dockerfiles(packages) == {"linuxkit/x": "FROM a\n"}


def test_a_dockerfile_that_is_linked_out_of_the_package_is_refused_before_the_build(tmp_path: Path) -> None:
    """The build context holds the link and not its target, in a push and in a build of a dirty package."""
    make_repository(tmp_path)
    write(tmp_path, {"x/build.yml": "image: x\n", "y/build.yml": "image: y\n", "common/Dockerfile": ""})
    for name in ("x", "y"):
        (tmp_path / name / "Dockerfile").symlink_to("../common/Dockerfile")
    commit(tmp_path)
    (tmp_path / "y/more").touch()
    with pytest.raises(InputError, match="outside the build context") as caught:
        _needs(read_packages([str(tmp_path / name) for name in ("x", "y")], TagOptions()))
    assert len(caught.value.parts) == 2


def test_a_package_without_a_dockerfile_is_refused(tmp_path: Path) -> None:
    packages = _packages(tmp_path, {**_HELLO, "bare/build.yml": "image: bare\n"})
    with pytest.raises(InputError, match="bare: has no Dockerfile"):
        _needs(packages)
