"""Whatever a tree looks like, a bump gives what upstream's script gives when it is run until nothing changes.

https://github.com/linuxkit/linuxkit/blob/v1.8.2/scripts/update-component-sha.sh
"""

from __future__ import annotations

import re
import tempfile
from pathlib import Path
from typing import NamedTuple

from hypothesis import given, settings
from hypothesis import strategies as st

from farm.bump.plan_bump import BumpRequest, plan_bump
from farm.bump.working_tree import write_files
from farm.package.read_packages import directories_below, read_packages
from farm.package.tags import TagOptions
from tests.support.git_repos import commit, git, make_repository, write

_NAMES = tuple("abcdef")
_OLD = st.sampled_from(["0" * 40, "1" * 40, f"{'2' * 40}-dirty-1234567"])
_FILES = st.sampled_from(["Dockerfile", "test/run.yml", "more.yaml", "x.yml.in"])


class Reference(NamedTuple):
    """A reference in a file of a package, or of the top."""

    file: str
    used: str
    tag: str


@st.composite
def trees(draw: st.DrawFn) -> dict[str, list[Reference]]:
    """Package, "" for the top, to the references in its files: to packages that come before it."""
    order = draw(st.permutations(_NAMES))
    made = {
        name: [
            Reference(draw(_FILES), draw(st.sampled_from(order[:at])), draw(_OLD))
            for _ in range(draw(st.integers(0, 3)) if at else 0)
        ]
        for at, name in enumerate(order)
    }
    return {**made, "": [Reference("run.yml", name, draw(_OLD)) for name in order]}


def make(top: Path, tree: dict[str, list[Reference]], extra: dict[str, str]) -> None:
    """The repository of a tree; `extra` are extra sources by package."""
    files: dict[str, str] = {}
    for name, references in tree.items():
        at = f"pkg/{name}/" if name else ""
        if name:
            source = f"extra-sources: ['../{extra[name]}:extra']\n" if name in extra else ""
            files |= {f"{at}build.yml": f"image: {name}\n{source}", f"{at}Dockerfile": "FROM scratch\n"}
        for one in references:
            files[at + one.file] = files.get(at + one.file, "") + f"FROM linuxkit/{one.used}:{one.tag} # as\n"
    write(make_repository(top), files)
    commit(top)


def tags(top: Path) -> dict[str, str]:
    """Image to tag, as HEAD has them."""
    packages = read_packages(directories_below([str(top)], "build.yml"), TagOptions())
    return {package.image: str(package.reference.tag) for package in packages}


def upstream(top: Path, names: set[str]) -> None:
    """What the script does for each of these images and those that change, until nothing changes."""
    old = tags(top)
    while True:
        new = tags(top)
        wanted = {image: tag for image, tag in new.items() if image in names or tag != old[image]}
        for path in git(top, "ls-files").decode().split():
            text = (top / path).read_text()
            for image, tag in wanted.items():
                text = re.sub(rf"(\s)({image}):(\S+)", rf"\1\2:{tag}", text)
            (top / path).write_text(text)
        if not git(top, "status", "--porcelain"):
            return
        commit(top)


@settings(max_examples=25, deadline=None)
@given(tree=trees(), names=st.sets(st.sampled_from(_NAMES), min_size=1), extra=st.data())
def test_a_bump_is_upstreams_script_run_until_nothing_changes(
    tree: dict[str, list[Reference]], names: set[str], extra: st.DataObject
) -> None:
    order = [name for name in tree if name]
    sources = {
        name: extra.draw(st.sampled_from(order[:at]))
        for at, name in enumerate(order)
        if at and extra.draw(st.booleans())
    }
    named = {f"linuxkit/{name}" for name in names}
    with tempfile.TemporaryDirectory(prefix="farm-t") as directory:
        here, there = Path(directory, "here"), Path(directory, "there")
        for top in (here, there):
            make(top, tree, sources)
        upstream(there, named)
        planned = plan_bump(here, BumpRequest(tuple(sorted(named))), {})
        write_files(planned.repository, planned.bump)
        commit(here)
        assert git(here, "rev-parse", "HEAD^{tree}") == git(there, "rev-parse", "HEAD^{tree}")
        made = tags(here)
        assert {tag.package.image: tag.tag for tag in planned.bump.tags}.items() <= made.items()
        assert plan_bump(here, BumpRequest(tuple(sorted(named))), {}).bump.changes == ()
