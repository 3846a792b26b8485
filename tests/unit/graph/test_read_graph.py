"""The graph of a tree has every way in which packages use each other."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from farm.graph.graph import Graph, UseKind
from farm.graph.read_graph import read_graph
from farm.package.tags import TagOptions
from tests.support.git_repos import commit, write
from tests.support.package_tree import PackageTree

if TYPE_CHECKING:
    from pathlib import Path

OLD = "0" * 40
DIGEST = f"sha256:{'1' * 64}"


@pytest.fixture
def tree(tmp_path: Path) -> PackageTree:
    made = PackageTree(tmp_path / "tree")
    made.add("base", "FROM scratch")
    return made


def graph_of(tree: PackageTree, org: str | None = None, **args: str) -> Graph:
    read = read_graph([str(tree.path)], TagOptions(), args, org)
    assert read.warnings == ()
    return read.graph


@pytest.mark.parametrize(
    "lines",
    [
        ["FROM {}"],
        ["FROM alpine AS one", "FROM docker.io/{} AS two"],
        ["FROM scratch", "COPY --from={} /a /b"],
        ["FROM alpine", "RUN --mount=type=bind,from={},target=/m ls"],
        ["ARG BASE={}", "FROM ${{BASE}}"],
        ["ARG NAME={}", 'ARG BASE="$NAME"', "FROM $BASE"],
    ],
)
def test_a_package_uses_what_any_stage_is_built_from(tree: PackageTree, lines: list[str]) -> None:
    tree.add("user", *(line.format(tree.reference("base")) for line in lines))
    (use,) = graph_of(tree).uses
    assert (use.user, use.used, use.kind, use.stale) == (
        "linuxkit/user",
        "linuxkit/base",
        UseKind.BASE,
        False,
    )


def test_build_arguments_of_the_package_and_of_the_farm_count(tree: PackageTree) -> None:
    hash_ = tree.tag("base")
    tree.add("own", "ARG HASH", "FROM linuxkit/base:$HASH", yml=f"buildArgs:\n- HASH={hash_}\n")
    tree.add("given", "ARG FARM", "FROM $FARM")
    graph = graph_of(tree, FARM=f"linuxkit/base:{hash_}")
    assert graph.dependents["linuxkit/base"] == ["linuxkit/given", "linuxkit/own"]
    assert graph.stale == ()


def test_an_image_in_the_organisation_of_the_farm_is_the_same_package(tree: PackageTree) -> None:
    tree.add("user", "ARG ORG", f"FROM ${{ORG}}/base:{tree.tag('base')}")
    org = "localhost:5000/me"
    assert graph_of(tree, org, ORG=org).dependents == {"linuxkit/base": ["linuxkit/user"]}


def test_a_package_of_another_organisation_is_no_alias_of_one_that_has_its_name(tree: PackageTree) -> None:
    tree.add("other", "FROM scratch", yml="org: me\n")
    tree.add("user", f"FROM me/other:{OLD}", f"COPY --from=me/base:{OLD} / /")
    write(tree.path, {"pkg/third/build.yml": "image: other\n", "pkg/third/Dockerfile": "FROM scratch\n"})
    commit(tree.path)
    assert {use.used for use in graph_of(tree, "me").uses} == {"me/other", "linuxkit/base"}


def test_another_tag_is_stale(tree: PackageTree) -> None:
    tree.add("user", f"FROM linuxkit/base:{OLD}")
    (use,) = graph_of(tree).stale
    assert (use.user, str(use.reference)) == ("linuxkit/user", f"docker.io/linuxkit/base:{OLD}")


def test_a_docker_image_by_digest_is_a_use_and_not_stale(tree: PackageTree) -> None:
    listed = f"depends: {{docker-images: {{list: ['linuxkit/base@{DIGEST}'], target-dir: images}}}}\n"
    tree.add("user", "FROM scratch", yml=listed)
    (use,) = graph_of(tree).uses
    assert (use.kind, use.stale) == (UseKind.IMAGE, False)


@pytest.mark.parametrize("source", ["../base", "../base/sub", ".."])
def test_an_extra_source_is_a_use_that_no_build_waits_for(tree: PackageTree, source: str) -> None:
    tree.add("base", "FROM scratch", **{"sub/file": "x"})
    tree.add("user", "FROM scratch", yml=f"extra-sources:\n- {source}:extra\n")
    graph = graph_of(tree)
    assert [(use.user, use.used, use.kind) for use in graph.uses] == [
        ("linuxkit/user", "linuxkit/base", UseKind.SOURCE)
    ]
    assert graph.waves == [["linuxkit/base", "linuxkit/user"]]


def test_a_directory_without_a_build_yml_makes_the_image_of_its_name(tree: PackageTree) -> None:
    write(tree.path, {"tools/alpine/Dockerfile": "FROM alpine:3.22\n", "tools/alpine/packages": "curl\n"})
    commit(tree.path)
    tree.add("user", f"FROM linuxkit/alpine:{OLD}", "COPY --from=linuxkit/other:1.2 / /")
    graph = graph_of(tree)
    assert graph.packages["linuxkit/alpine"].directory.endswith("tools/alpine")
    assert graph.dependents["linuxkit/alpine"] == ["linuxkit/user"]
    assert [str(use.reference) for use in graph.stale] == [f"docker.io/linuxkit/alpine:{OLD}"]


def test_two_directories_of_that_name_make_none(tree: PackageTree) -> None:
    write(tree.path, {f"{top}/alpine/Dockerfile": "FROM scratch\n" for top in ("one", "two")})
    commit(tree.path)
    tree.add("user", f"FROM linuxkit/alpine:{OLD}")
    assert "linuxkit/alpine" not in graph_of(tree).packages


def test_what_cannot_be_read_is_left_out_with_a_warning(tree: PackageTree) -> None:
    tree.add("broken", "FROM scratch", yml="colour: red\n")
    tree.add("double", "FROM scratch")
    write(
        tree.path, {"other/double/build.yml": "image: double\n", "other/double/Dockerfile": "FROM scratch\n"}
    )
    write(tree.path, {"pkg/no-text/build.yml": "image: no-text\n"})
    tree.add("args", "FROM scratch", yml="buildArgs:\n- A=@lkt:pkg:../nowhere\n")
    read = read_graph([str(tree.path)], TagOptions(), {})
    assert set(read.graph.packages) == {f"linuxkit/{name}" for name in ("base", "double", "no-text", "args")}
    wrong = "\n".join(read.warnings)
    for words in (
        "colour: unknown field",
        "no-text: has no Dockerfile",
        "makes linuxkit/double, as",
        "nowhere",
    ):
        assert words in wrong


def test_hidden_directories_hold_no_packages(tree: PackageTree) -> None:
    write(tree.path, {".github/workflows/build.yml": "name: not a package\n"})
    commit(tree.path)
    assert list(graph_of(tree).packages) == ["linuxkit/base"]


def test_a_cycle_of_stale_references_leaves_an_order(tree: PackageTree) -> None:
    """A compiler is built with the older compiler that an older base of it made."""
    tree.add("base", f"FROM linuxkit/user:{OLD}")
    tree.add("user", f"FROM {tree.reference('base')}")
    graph = graph_of(tree)
    assert graph.waves == [["linuxkit/base"], ["linuxkit/user"]]
    assert graph.critical_path == ["linuxkit/base", "linuxkit/user"]
