from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from farm.errors import BuildYmlError
from farm.model import BuildYml, DockerImages, ExtraSource
from farm.package.build_yml import read_build_yml
from tests.unit.package.test_image_config import ANSWERS

if TYPE_CHECKING:
    from pathlib import Path

_PINNED = "alpine@sha256:" + 64 * "a"
_FULL = f"""\
image: foo
org: acme
tag: "v1-{{{{.Hash}}}}"
dockerfile: build/Dockerfile
arches: [amd64, s390x]
extra-sources:
  - ../../common/lib:lib/
  - ../other:/vendor/other
gitrepo: https://example.org/foo
network: yes
disable-content-trust: true
disable-cache: true
config:
  net: host
  capabilities: [all]
buildArgs:
  - A=1
  - B=x=y
depends:
  docker-images:
    target-dir: images/
    list: ["{_PINNED}"]
"""


def _read(directory: Path, text: str) -> BuildYml:
    (directory / "build.yml").write_text(text, encoding="utf-8", newline="")
    return read_build_yml(directory)


def test_every_field_is_read(tmp_path: Path) -> None:
    assert _read(tmp_path, _FULL) == BuildYml(
        image="foo",
        org="acme",
        tag="v1-{{.Hash}}",
        dockerfile="build/Dockerfile",
        arches=("amd64", "s390x"),
        extra_sources=(ExtraSource("../../common/lib", "lib"), ExtraSource("../other", "vendor/other")),
        gitrepo="https://example.org/foo",
        network=True,
        disable_content_trust=True,
        disable_cache=True,
        config='{"capabilities":["all"],"net":"host"}',
        build_args=("A=1", "B=x=y"),
        depends=DockerImages((_PINNED,), None, None, "images"),
    )


def test_the_defaults_are_those_of_linuxkit(tmp_path: Path) -> None:
    assert _read(tmp_path, "image: foo\n") == BuildYml(image="foo")


def test_every_field_means_what_it_means_to_linuxkit_blank_ones_too(tmp_path: Path) -> None:
    """Numbers and words as text, merge keys, second documents: read or refused as by linuxkit."""
    expected = {text: None if fields is None else _DEFAULTS | fields for text, fields in ANSWERS["fields"]}
    assert {text: _fields(tmp_path, text) for text in expected} == expected


_DEFAULTS = BuildYml("x")._asdict() | {
    "arches": ["amd64", "arm64", "riscv64"],
    "extra_sources": [],
    "build_args": [],
}


def _fields(directory: Path, text: str) -> dict[str, Any] | None:
    try:
        yml = _read(directory, text)
    except BuildYmlError:
        return None
    sources = [":".join(source) for source in yml.extra_sources]
    arches = yml.arches_or(_DEFAULTS["arches"])
    lists = {"arches": arches, "extra_sources": sources, "build_args": yml.build_args}
    return yml._asdict() | {name: list(found) for name, found in lists.items()}


def test_a_blank_list_of_architectures_is_not_the_same_as_none(tmp_path: Path) -> None:
    assert [
        _read(tmp_path, f"image: a\n{arches}").arches for arches in ("", "arches:\n", "arches: []\n")
    ] == [
        None,
        (),
        (),
    ]


def test_a_number_is_read_as_it_is_written(tmp_path: Path) -> None:
    assert _read(tmp_path, "image: foo\ntag: 1.10\n").tag == "1.10"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("org: x\n", "1: image: is missing"),
        ("", "1: image: is missing"),
        ("image: a\n\nimagee: b\n", "3: imagee: unknown field (did you mean image?)"),
        ("image: a\nnetwrok: true\n", "2: netwrok: unknown field (did you mean network?)"),
        ("image: a\norg: b\nimage: c\n", "3: image: is given twice, first in line 1"),
        ("image: a\nconfig:\n  x: 1\n  x: 2\n", "4: x: is given twice, first in line 3"),
        ("image: a\narches: amd64\n", "2: arches: must be a list, not 'amd64'"),
        ("image: a\narches:\n- amd64\n- x86_64\n", "4: arches: unknown architecture x86_64"),
        ("image: a\narches:\n- amd64\n- amd64\n", "4: arches: duplicate architecture amd64"),
        ("image: [a]\n", "1: image: must be a string, not a list"),
        ("image: a\nnetwork: maybe\n", "2: network: must be true or false, not 'maybe'"),
        ("image: a\nnetwork: 1\n", "2: network: must be true or false, not '1'"),
        ("- image\n", "1: must be a mapping, not a list"),
        ("image: a\n  b: c\n", "2: bad YAML: "),
        ("image: 'a\n", ": bad YAML: "),
        ("image: \x01\n", "1: bad YAML: "),
        ("image: a\n[x]: y\n", "2: a field's name must be a string"),
        ("image: a\nconfig: text\n", "2: config: must be a mapping, not 'text'"),
        ("image: a\nconfig:\n  when: 2024-01-01\n", "3: config.when: unknown field"),
        ("image: a\nconfig:\n  runtime:\n    bindNs: {}\n", "4: config.runtime.bindNs: unknown field (did"),
        ("image: a\nconfig:\n  readonly: 1\n", "3: config.readonly: must be true or false, not '1'"),
        ("image: a\nconfig:\n  oomScoreAdj: 1.5\n", "3: config.oomScoreAdj: must be a whole number"),
        ("image: a\nconfig: {uid: [0]}\n", "2: config.uid: must be a single value, not a list"),
        ("image: a\nconfig: {uid: yes, gid: true}\n", "2: config.gid: must be a number or a name"),
        ("image: a\nconfig: &x\n  runtime: *x\n", "2: bad YAML: it contains itself"),
        ("image: a\nconfig:\n  <<: &x\n    <<: *x\n", "3: bad YAML: it contains itself"),
        ("image: !!int a\n", "1: image: bad YAML: 'a' is not a !!int"),
        ("image: a\norg: ''\n", "2: org: is empty"),
        ("image: a\nbuildArgs:\n- A\n", "3: buildArgs: 'A' is not NAME=VALUE"),
        ("image: a\nextra-sources:\n- ../plain\n", "3: extra-sources: '../plain' is not SOURCE:DESTINATION"),
        ("image: a\nextra-sources:\n- ../b:..\n", "3: extra-sources: .. is outside the build context"),
        ("image: a\nextra-sources:\n- ../b:x/../../y\n", "3: extra-sources: x/../../y is outside the build"),
        ("image: a\ndockerfile: ../Dockerfile\n", "2: dockerfile: ../Dockerfile is outside of the package"),
        ("image: a\ntag: '{{.Commit}}'\n", "2: tag: invalid tag template '{{.Commit}}'"),
        ("image: a\ndepends:\n  images: {}\n", "3: depends.images: unknown field"),
    ],
)
def test_a_mistake_is_reported_with_file_line_and_field(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(BuildYmlError) as error:
        _read(tmp_path, text)
    assert str(error.value).startswith(f"{tmp_path}/build.yml:")
    assert message in str(error.value).removeprefix(f"{tmp_path}/build.yml")


@pytest.mark.parametrize("twice", ["{{<<: [&a{0} {1}, *a{0}]}}", "[&a{0} {1}, *a{0}]"])
def test_aliases_that_stand_for_too_many_values_are_refused_at_once(twice: str, tmp_path: Path) -> None:
    text = "{net: host}"
    for depth in range(40):
        text = twice.format(depth, text)
    with pytest.raises(BuildYmlError, match=r"build.yml:2: bad YAML: with its aliases it has more than 1"):
        _read(tmp_path, f"image: a\nconfig: {text}\n")


_TARGET = "target: a.tar"


@pytest.mark.parametrize(
    ("fields", "line", "message"),
    [
        ([_TARGET, "target-dir: b"], 5, ".target-dir: target and target-dir are mutually exclusive"),
        (
            [f"list: ['{_PINNED}']", "from-file: b"],
            5,
            ".from-file: list and from-file are mutually exclusive",
        ),
        (["target: /a.tar"], 4, ".target: /a.tar must be relative"),
        (["target: ../a/x"], 4, ".target: ../a/x is outside"),
        (["target-dir: ../a-other/x"], 4, ".target-dir: ../a-other/x is outside"),
        (["target-dir: x/.."], 4, ".target-dir: x/.. is the package itself"),
        (["from-file: ../l"], 4, ".from-file: ../l is outside"),
        ([_TARGET, "from-file: gone"], 5, ".from-file: "),
        ([_TARGET, "list: [alpine]"], 5, ".list: alpine has no digest"),
        ([_TARGET, "list: ['a@sha256:12']"], 5, ".list: invalid image reference 'a@sha256:12'"),
        ([f"list: ['{_PINNED}']"], 3, ": target or target-dir must name"),
    ],
)
def test_docker_images_follow_the_rules_of_linuxkit(
    fields: list[str], line: int, message: str, tmp_path: Path
) -> None:
    text = "image: x\ndepends:\n  docker-images:\n" + "".join(f"    {field}\n" for field in fields)
    (tmp_path / "a").mkdir()
    with pytest.raises(BuildYmlError) as error:
        _read(tmp_path / "a", text)
    assert f"{tmp_path}/a/build.yml:{line}: depends.docker-images{message}" in str(error.value)


def test_a_list_of_images_may_be_in_a_file_with_comments(tmp_path: Path) -> None:
    (tmp_path / "l").write_text(f"# why\n\n{_PINNED}\n")
    yml = _read(tmp_path, "image: x\ndepends:\n  docker-images:\n    from-file: l\n    target: a.tar\n")
    assert yml.depends == DockerImages((_PINNED,), "l", "a.tar", None)


def test_an_invalid_image_in_a_file_is_reported_with_that_files_line(tmp_path: Path) -> None:
    (tmp_path / "l").write_text(f"# why\n{_PINNED}\n # not in the first column\n")
    with pytest.raises(BuildYmlError, match=r"l:3: depends\.docker-images\.from-file: "):
        _read(tmp_path, "image: x\ndepends:\n  docker-images:\n    from-file: l\n    target: a.tar\n")


def test_a_missing_directory_is_reported_as_missing(tmp_path: Path) -> None:
    with pytest.raises(BuildYmlError, match="no such directory"):
        read_build_yml(tmp_path / "gone")
