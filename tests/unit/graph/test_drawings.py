"""A graph as a tree, for Graphviz, and as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from farm.errors import FarmError
from farm.graph.draw_dot import dot_lines, draw_svg
from farm.graph.draw_tree import tree_lines
from farm.graph.read_graph import read_graph
from farm.package.tags import TagOptions
from tests.support.package_tree import PackageTree

if TYPE_CHECKING:
    from pathlib import Path

    from farm.graph.graph import Graph

OLD = "0" * 40


@pytest.fixture
def graph(tmp_path: Path) -> Graph:
    """A base, two packages that are built from it, one of them stale, and a third that is built from both."""
    tree = PackageTree(tmp_path / "tree")
    tree.add("base", "FROM scratch")
    tree.add("a", f"FROM {tree.reference('base')}")
    tree.add("b", f"FROM linuxkit/base:{OLD}")
    tree.add("c", f"FROM {tree.reference('a')}", f"COPY --from={tree.reference('b')} / /")
    tree.add("z", f"FROM {tree.reference('c')}")
    return read_graph([str(tree.path)], TagOptions(), {}).graph


def test_a_tree_has_the_users_of_a_package_below_it_once(graph: Graph) -> None:
    short = {name: package.reference.short for name, package in graph.packages.items()}
    assert list(tree_lines(graph)) == [
        f"{short['linuxkit/base']}",
        f"├── {short['linuxkit/a']}",
        f"│   └── {short['linuxkit/c']}",
        f"│       └── {short['linuxkit/z']}",
        f"└── {short['linuxkit/b']}  stale: uses 00000000",
        f"    └── {short['linuxkit/c']}  (see above)",
        "",
        "5 packages, 5 references to one another, 1 of them stale",
        "4 waves of builds: 1, 2, 1, 1",
        "critical path: linuxkit/base → linuxkit/a → linuxkit/c → linuxkit/z",
    ]


def test_json_has_uses_dependents_waves_and_the_critical_path(graph: Graph) -> None:
    data = graph.to_json()
    by_name = {package["package"]: package for package in data["packages"]}
    assert by_name["linuxkit/base"]["dependents"] == ["linuxkit/a", "linuxkit/b"]
    assert by_name["linuxkit/b"]["uses"] == [
        {
            "package": "linuxkit/base",
            "kind": "base image",
            "reference": f"docker.io/linuxkit/base:{OLD}",
            "stale": True,
        }
    ]
    assert by_name["linuxkit/z"]["wave"] == 4
    assert [len(wave) for wave in data["waves"]] == [1, 2, 1, 1]


def test_the_part_around_a_package_has_what_it_needs_and_what_needs_it(graph: Graph) -> None:
    assert list(graph.around(["linuxkit/b"]).packages) == [
        f"linuxkit/{name}" for name in ("b", "base", "c", "z")
    ]


def test_graphviz_reads_what_is_drawn_for_it(graph: Graph) -> None:
    drawn = draw_svg(graph).decode()
    for title in ("linuxkit/base", "linuxkit/z", "linuxkit/z&#45;&gt;linuxkit/c"):
        assert f"<title>{title}</title>" in drawn


def test_without_graphviz_the_error_says_what_to_install(
    graph: Graph, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(FarmError, match=r"dot is not installed .*apt-get install graphviz"):
        draw_svg(graph)


def test_stale_uses_are_red(graph: Graph) -> None:
    (line,) = [line for line in dot_lines(graph) if "color=red" in line]
    assert line.startswith('  "linuxkit/b" -> "linuxkit/base" [')
    assert 'label="00000000"' in line
