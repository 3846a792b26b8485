"""A bump rewrites what refers to a package, and what refers to that, in the right order."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from farm.bump.plan_bump import BumpRequest, PlannedBump, plan_bump
from farm.bump.working_tree import commit_files, diff, write_files
from farm.errors import DirtyError, GitError, InputError
from farm.model import Reference
from tests.support.git_repos import commit, git, write
from tests.support.package_tree import PackageTree

if TYPE_CHECKING:
    from pathlib import Path

OLD = "0" * 40


@pytest.fixture(autouse=True)
def identity(monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody who commits."""
    for role in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{role}_NAME", "a")
        monkeypatch.setenv(f"GIT_{role}_EMAIL", "a@example.org")


@pytest.fixture
def tree(tmp_path: Path) -> PackageTree:
    """A base, a tool that is built from it, and a service that is built from the tool and the base."""
    made = PackageTree(tmp_path / "tree")
    made.add("base", "FROM scratch")
    made.add("tool", f"FROM {made.reference('base')}")
    made.add("service", f"FROM {made.reference('tool')}", f"COPY --from={made.reference('base')} / /")
    write(
        made.path,
        {"examples/run.yml": "".join(f"- {made.reference(name)}\n" for name in ("base", "service"))},
    )
    commit(made.path)
    return made


def change_base(tree: PackageTree) -> None:
    tree.add("base", "FROM scratch", "LABEL changed=1")


def bump_of(tree: PackageTree, *names: str, to: str = "", files: tuple[str, ...] = ()) -> PlannedBump:
    request = BumpRequest(names, not names and not to, Reference.parse(to) if to else None, files=files)
    return plan_bump(tree.path, request, {})


def contents(tree: PackageTree) -> dict[str, str]:
    """The files that git knows, as they are."""
    names = git(tree.path, "ls-files").decode().split()
    return {name: (tree.path / name).read_text() for name in names}


def new_tags(planned: PlannedBump) -> dict[str, str]:
    return {tag.package.image: tag.tag for tag in planned.bump.tags}


def test_tags_are_known_before_the_commit_that_makes_them(tree: PackageTree) -> None:
    change_base(tree)
    planned = bump_of(tree, "linuxkit/base")
    assert git(tree.path, "status", "--porcelain") == b""
    commit_files(planned, "bump")
    assert new_tags(planned) == {f"linuxkit/{name}": tree.tag(name) for name in ("base", "tool", "service")}
    texts = contents(tree)
    assert texts["pkg/tool/Dockerfile"] == f"FROM {tree.reference('base')}\n"
    assert tree.reference("tool") in texts["pkg/service/Dockerfile"]
    assert texts["examples/run.yml"] == f"- {tree.reference('base')}\n- {tree.reference('service')}\n"
    assert git(tree.path, "status", "--porcelain") == b""


@pytest.mark.parametrize("name", ["linuxkit/base", "base", "pkg/base", ""])
def test_a_second_bump_has_nothing_to_do(
    tree: PackageTree, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tree.path)
    change_base(tree)
    names = (name,) if name else ()
    commit_files(bump_of(tree, *names), "bump")
    again = bump_of(tree, *names)
    assert again.bump.changes == ()
    assert {package.image for package in again.bump.affected} == {
        f"linuxkit/{name}" for name in ("base", "tool", "service")
    }


def test_the_old_tag_brings_the_old_tree_back(tree: PackageTree) -> None:
    before, old = contents(tree), tree.reference("base")
    change_base(tree)
    commit_files(bump_of(tree, "linuxkit/base"), "bump")
    commit_files(bump_of(tree, to=old), "and back")
    changed = {name for name, text in contents(tree).items() if before[name] != text}
    assert changed == {"pkg/base/Dockerfile"}


def test_files_are_written_without_a_commit_and_git_can_apply_the_diff(tree: PackageTree) -> None:
    change_base(tree)
    planned = bump_of(tree, "linuxkit/base")
    git(tree.path, "apply", given=diff(planned.bump))
    applied = git(tree.path, "diff")
    git(tree.path, "checkout", ".")
    assert write_files(planned.repository, planned.bump) == 3
    assert git(tree.path, "diff") == applied
    assert write_files(planned.repository, planned.bump) == 0


def test_a_bump_that_was_interrupted_is_completed(tree: PackageTree) -> None:
    change_base(tree)
    planned = bump_of(tree, "linuxkit/base")
    first = planned.bump.changes[0]
    (tree.path / first.path).write_bytes(first.after)
    commit_files(bump_of(tree, "linuxkit/base"), "bump")
    assert git(tree.path, "status", "--porcelain") == b""
    assert bump_of(tree).bump.changes == ()


def test_only_references_to_what_was_named_and_what_changes_by_it_are_rewritten(tree: PackageTree) -> None:
    write(tree.path, {"other.yml": f"- linuxkit/base:{OLD}\n- linuxkit/tool:{OLD}\n- linuxkit/base:v1.2\n"})
    commit(tree.path)
    commit_files(bump_of(tree, "linuxkit/tool"), "bump")
    expected = f"- linuxkit/base:{OLD}\n- {tree.reference('tool')}\n- linuxkit/base:v1.2\n"
    assert contents(tree)["other.yml"] == expected
    commit_files(bump_of(tree), "all")
    assert contents(tree)["other.yml"] == expected.replace(f"linuxkit/base:{OLD}", tree.reference("base"))


def test_pinned_references_stay_and_are_listed(tree: PackageTree) -> None:
    tree.add("pinned", "# farm: pinned", f"FROM linuxkit/base:{OLD}")
    write(tree.path, {"digest.yml": f"- linuxkit/base:{OLD}@sha256:{'1' * 64}\n"})
    commit(tree.path)
    kept = bump_of(tree).bump.kept
    assert [(one.path, one.line, one.why) for one in kept] == [
        ("digest.yml", 1, "pinned by its digest"),
        ("pkg/pinned/Dockerfile", 2, "pinned"),
    ]
    assert bump_of(tree).bump.changes == ()


def test_a_package_cannot_refer_to_its_own_tag(tree: PackageTree) -> None:
    tree.add("self", "FROM scratch", **{"test.yml": f"- linuxkit/self:{OLD}\n- linuxkit/base:{OLD}\n"})
    commit_files(bump_of(tree), "bump")
    text = contents(tree)["pkg/self/test.yml"]
    assert text == f"- linuxkit/self:{OLD}\n- {tree.reference('base')}\n"
    (kept,) = bump_of(tree).bump.kept
    assert (kept.path, kept.why) == ("pkg/self/test.yml", "in the package itself")


def test_any_file_of_a_package_counts_for_its_tag(tree: PackageTree) -> None:
    """A YAML file in a package's directory is a part of its content."""
    tree.add("with-example", "FROM scratch", **{"examples/run.yml": f"- {tree.reference('base')}\n"})
    write(tree.path, {"run.yml": f"- {tree.reference('with-example')}\n"})
    commit(tree.path)
    change_base(tree)
    commit_files(bump_of(tree, "linuxkit/base"), "bump")
    assert contents(tree)["run.yml"] == f"- {tree.reference('with-example')}\n"


def test_a_package_changes_with_its_extra_sources(tree: PackageTree) -> None:
    tree.add("copies", "FROM scratch", yml="extra-sources:\n- ../tool:tool\n")
    write(tree.path, {"run.yml": f"- linuxkit/copies:{OLD}\n"})
    commit(tree.path)
    change_base(tree)
    planned = bump_of(tree)
    commit_files(planned, "bump")
    assert contents(tree)["run.yml"] == f"- linuxkit/copies:{new_tags(planned)['linuxkit/copies']}\n"
    assert bump_of(tree).bump.changes == ()


@pytest.mark.parametrize(
    ("dockerfile", "yml"),
    [
        ("ARG HASH={}\nFROM linuxkit/base:${{HASH}}\n", ""),
        ("ARG HASH\nFROM linuxkit/base:$HASH\n", "buildArgs:\n- HASH={}\n"),
        ("ARG BASE=linuxkit/base\nFROM $BASE:{}\n", ""),
    ],
)
def test_a_hash_in_an_argument_is_rewritten(tree: PackageTree, dockerfile: str, yml: str) -> None:
    tag = tree.tag("base")
    tree.add("by-args", *dockerfile.format(tag).splitlines(), yml=yml.format(tag))
    change_base(tree)
    commit_files(bump_of(tree, "linuxkit/base"), "bump")
    texts = contents(tree)
    assert texts["pkg/by-args/Dockerfile"] == dockerfile.format(tree.tag("base"))
    assert texts["pkg/by-args/build.yml"] == f"image: by-args\n{yml.format(tree.tag('base'))}"


def test_architecture_tags_keep_their_architecture(tree: PackageTree) -> None:
    write(tree.path, {"run.yml": f"- linuxkit/base:{OLD}-arm64\n"})
    commit(tree.path)
    commit_files(bump_of(tree), "bump")
    assert contents(tree)["run.yml"] == f"- {tree.reference('base')}-arm64\n"


def test_further_files_are_rewritten_where_a_pattern_names_them(tree: PackageTree) -> None:
    lines = {
        "Makefile": "TOOL={}\n",
        "docs/use.md": "Use {}.\n",
        "docs/old.txt": "{}\n",
        "vendor/a.yml": "- {}\n",
    }
    old = f"linuxkit/base:{OLD}"
    write(tree.path, {name: text.format(old) for name, text in lines.items()})
    commit(tree.path)
    planned = bump_of(tree, files=("Makefile", "docs/*.md"))
    assert [change.path for change in planned.bump.changes] == ["Makefile", "docs/use.md"]
    assert bump_of(tree).bump.changes == ()


def test_an_image_from_elsewhere_is_bumped_to_any_tag(tree: PackageTree) -> None:
    tree.add("module", "FROM linuxkit/kernel:6.6.71", "COPY --from=linuxkit/kernel:6.6.71-amd64 / /")
    write(tree.path, {"run.yml": f"- {tree.reference('module')}\n"})
    commit(tree.path)
    commit_files(bump_of(tree, to="linuxkit/kernel:6.12.59"), "bump")
    texts = contents(tree)
    assert "FROM linuxkit/kernel:6.12.59\n" in texts["pkg/module/Dockerfile"]
    assert "--from=linuxkit/kernel:6.12.59-amd64 " in texts["pkg/module/Dockerfile"]
    assert texts["run.yml"] == f"- {tree.reference('module')}\n"


def test_windows_line_ends_stay(tree: PackageTree) -> None:
    (tree.path / "run.yml").write_bytes(f"- linuxkit/base:{OLD}\r\n".encode())
    commit(tree.path)
    commit_files(bump_of(tree), "bump")
    assert git(tree.path, "show", "HEAD:run.yml") == f"- {tree.reference('base')}\r".encode()


def test_a_cycle_is_refused(tree: PackageTree) -> None:
    tree.add("base", f"FROM linuxkit/service:{OLD}")
    with pytest.raises(InputError, match="in a cycle: "):
        bump_of(tree)


@pytest.mark.parametrize(
    "path", ["pkg/base/Dockerfile", "pkg/base/new", "pkg/tool/Dockerfile", "examples/run.yml"]
)
def test_uncommitted_changes_of_what_a_bump_writes_or_names_are_refused(tree: PackageTree, path: str) -> None:
    change_base(tree)
    (tree.path / path).write_text("something else\n")
    before = git(tree.path, "status", "--porcelain")
    with pytest.raises(DirtyError, match="uncommitted changes"):
        commit_files(bump_of(tree, "linuxkit/base"), "bump")
    assert git(tree.path, "status", "--porcelain") == before


def test_other_uncommitted_changes_stay_uncommitted(tree: PackageTree) -> None:
    change_base(tree)
    (tree.path / "notes").write_text("mine\n")
    git(tree.path, "add", "notes")
    commit_files(bump_of(tree, "linuxkit/base"), "bump")
    assert git(tree.path, "status", "--porcelain") == b"A  notes"


def test_a_commit_made_meanwhile_is_not_overwritten(tree: PackageTree) -> None:
    change_base(tree)
    planned = bump_of(tree, "linuxkit/base")
    commit(tree.path, "another")
    with pytest.raises(GitError, match="HEAD has changed meanwhile"):
        commit_files(planned, "bump")


def test_a_hook_that_refuses_the_commit_is_heard(tree: PackageTree) -> None:
    change_base(tree)
    hook = tree.path / ".git" / "hooks" / "pre-commit"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\necho no bumps on Mondays >&2\nexit 1\n")
    hook.chmod(0o755)
    with pytest.raises(GitError, match="no bumps on Mondays"):
        commit_files(bump_of(tree, "linuxkit/base"), "bump")


def test_what_is_asked_for_must_be_one_thing_that_exists(tree: PackageTree) -> None:
    with pytest.raises(InputError, match="one of the three"):
        plan_bump(tree.path, BumpRequest(("base",), stale=True), {})
    with pytest.raises(InputError, match=r"linuxkit/bse: no such package .*did you mean linuxkit/base\?"):
        bump_of(tree, "linuxkit/bse")
    with pytest.raises(InputError, match="must be NAME:TAG"):
        bump_of(tree, to="linuxkit/base")
    with pytest.raises(InputError, match="not an official image"):
        bump_of(tree, to="alpine:3.22")
    with pytest.raises(InputError, match="package-dirs: nowhere is not a directory"):
        plan_bump(tree.path, BumpRequest(stale=True, package_dirs=("nowhere",)), {})


def test_outside_git_there_is_nothing_to_bump(tmp_path: Path) -> None:
    with pytest.raises(GitError, match="not in a git repository"):
        plan_bump(tmp_path, BumpRequest(stale=True), {})
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    with pytest.raises(GitError, match="no commits yet"):
        plan_bump(tmp_path, BumpRequest(stale=True), {})
