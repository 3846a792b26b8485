"""farm graph shows what a tree is built from; farm bump rewrites its references and builds what changed."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.support.farm_command import BUSYBOX
from tests.support.git_repos import git, write

if TYPE_CHECKING:
    from tests.support.farm_command import Workspace

# The same packages as in the organisation of the registry, by any name that a Dockerfile may have for them.
FROM = "ARG ORG\nFROM ${{ORG}}/{}\n"


@pytest.fixture
def tree(own: Workspace) -> Workspace:
    """A base, a tool that is built from it, an app that is built from the tool, and a file that runs both."""
    own.write("base", arches="amd64")
    own.write("tool", arches="amd64", Dockerfile=FROM.format(f"base:{own.tag('base')}"))
    own.write("app", arches="amd64", Dockerfile=FROM.format(f"tool:{own.tag('tool')}"))
    write(own.directory, {"run.yml": f"- linuxkit/tool:{own.tag('tool')}\n- linuxkit/app:{own.tag('app')}\n"})
    own.commit()
    return own


def change_base(tree: Workspace) -> None:
    tree.write("base", arches="amd64", Dockerfile=f"{BUSYBOX}RUN touch /changed\n")


def test_a_graph_is_printed_as_a_tree_with_waves_and_a_critical_path(tree: Workspace) -> None:
    change_base(tree)
    lines = tree.done("graph", ".").out.splitlines()
    assert lines[0].startswith("linuxkit/base:")
    assert lines[1].startswith("└── linuxkit/tool:")
    assert lines[1].endswith("stale: uses " + git(tree.directory, "rev-parse", "HEAD~:base").decode()[:8])
    assert lines[-3:] == [
        "3 packages, 2 references to one another, 1 of them stale",
        "3 waves of builds: 1, 1, 1",
        "critical path: linuxkit/base → linuxkit/tool → linuxkit/app",
    ]


@pytest.mark.parametrize("flags", [["--json"], ["--format", "json"]])
def test_a_graph_is_json_for_programs(tree: Workspace, flags: list[str]) -> None:
    data = tree.done("graph", *flags, "--of", "tool", ".").json
    assert data["waves"] == [["linuxkit/base"], ["linuxkit/tool"], ["linuxkit/app"]]
    assert data["packages"][1]["package"] == "linuxkit/base"
    assert data["packages"][1]["dependents"] == ["linuxkit/tool"]


def test_a_graph_is_drawn(tree: Workspace) -> None:
    assert (
        "<title>linuxkit/app&#45;&gt;linuxkit/tool</title>" in tree.done("graph", "--format", "svg", ".").out
    )
    assert '"linuxkit/app" -> "linuxkit/tool"' in tree.done("graph", "--format", "dot", ".").out


def test_a_mistyped_package_is_an_error_with_a_suggestion(tree: Workspace) -> None:
    for words in (["graph", "--of", "linuxkit/tol", "."], ["bump", "linuxkit/tol"]):
        answer = tree.farm(*words)
        assert answer.code == 2
        assert "did you mean linuxkit/tool?" in answer.err


def test_a_bump_shows_a_diff_and_changes_nothing(tree: Workspace) -> None:
    change_base(tree)
    answer = tree.done("bump", "base")
    assert git(tree.directory, "status", "--porcelain") == b""
    git(tree.directory, "apply", given=answer.out.encode())
    changed = git(tree.directory, "diff", "--name-only").decode().split()
    assert changed == ["app/Dockerfile", "run.yml", "tool/Dockerfile"]
    assert answer.err.splitlines()[-1] == "4 references in 3 files, 0 kept"
    assert "linuxkit/tool:" in answer.err


def test_a_bump_commits_builds_in_waves_and_is_idempotent(tree: Workspace) -> None:
    change_base(tree)
    head = git(tree.directory, "rev-parse", "HEAD")
    answer = tree.done("bump", "base", "--push", "--no-sign", "--signoff", "-m", "Bump base")
    assert git(tree.directory, "rev-parse", "HEAD~") == head
    assert git(
        tree.directory, "log", "-1", "--format=%s%n%(trailers:key=Signed-off-by,valueonly)"
    ).startswith(b"Bump base\na <a@example.org>")
    for package in ("base", "tool", "app"):
        assert tree.platforms(tree.reference(package)) == ["amd64"]
    order = [line.split()[1] for line in answer.out.splitlines() if line.endswith(": published")]
    assert [name.rpartition("/")[2] for name in order] == ["base:", "tool:", "app:"]
    again = tree.done("bump", "base", "--push", "--no-sign")
    assert "nothing to do" in again.out
    assert "nothing to rewrite" in again.err
    assert tree.done("bump", "--stale").out == ""


def test_a_bump_builds_what_the_package_needs_too(tree: Workspace) -> None:
    tree.done("bump", "app", "--push", "--no-sign")
    assert sorted(tree.repositories()) == ["app", "base", "tool"]


def test_a_bump_with_json_names_tags_files_and_what_is_kept(tree: Workspace) -> None:
    change_base(tree)
    write(tree.directory, {"old.yml": f"- linuxkit/base:{'0' * 40} # farm: pinned\n"})
    tree.commit()
    data = tree.done("bump", "--stale", "--commit", "--json").json
    assert data["commit"] == git(tree.directory, "rev-parse", "HEAD").decode()
    assert [package["package"] for package in data["packages"]] == [
        f"linuxkit/{n}" for n in ("base", "tool", "app")
    ]
    assert [one["to"].rpartition(":")[2] for one in data["packages"]] == [
        tree.tag(n) for n in ("base", "tool", "app")
    ]
    assert data["files"] == [
        {"path": "app/Dockerfile", "references": 1},
        {"path": "run.yml", "references": 2},
        {"path": "tool/Dockerfile", "references": 1},
    ]
    assert json.dumps(data["kept"]).count("pinned") == 1


def test_a_bump_that_is_killed_is_completed_by_the_next(tree: Workspace) -> None:
    change_base(tree)
    tree.done("bump", "base", "--write")
    # As a kill between two files leaves it.
    git(tree.directory, "checkout", "app/Dockerfile")
    tree.done("bump", "base", "--commit")
    assert git(tree.directory, "status", "--porcelain") == b""
    assert "nothing to rewrite" in tree.done("bump", "--stale").err


def test_uncommitted_changes_are_refused_before_anything_is_written(tree: Workspace) -> None:
    change_base(tree)
    write(tree.directory, {"tool/Dockerfile": "FROM scratch\n"})
    answer = tree.farm("bump", "base", "--commit")
    assert answer.code == 2
    assert "uncommitted changes" in answer.err
    assert git(tree.directory, "status", "--porcelain") == b" M tool/Dockerfile"
