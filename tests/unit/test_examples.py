"""The example packages fit together, whatever the state of the checkout."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from farm.package.read_packages import read_packages
from farm.package.tags import TagOptions
from lab.checkout import EXAMPLES, copy_examples, why_unusable
from lab.machine import ROOT
from tests.support.git_repos import make_repository

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    return copy_examples(tmp_path / "checkout")


def test_greeter_is_built_from_the_current_hello(checkout: Path) -> None:
    """`git rev-parse HEAD:examples/hello` prints the hash for greeter's FROM when this fails."""
    hello = read_packages([str(checkout / "examples" / "hello")], TagOptions())[0]
    pinned = re.search(r"/hello:(\w+)", (ROOT / "examples" / "greeter" / "Dockerfile").read_text())
    assert pinned
    assert pinned[1] == hello.hash


def test_every_example_is_valid_and_has_three_architectures(checkout: Path) -> None:
    directories = [str(checkout / "examples" / name) for name in EXAMPLES]
    packages = read_packages(directories, TagOptions())
    assert [package.yml.image for package in packages] == list(EXAMPLES)
    assert {package.yml.arches for package in packages} == {("amd64", "arm64", "s390x")}


def test_the_demo_uses_a_committed_checkout_and_says_why_it_copies_a_changed_one(checkout: Path) -> None:
    assert why_unusable(checkout) is None
    (checkout / "examples" / "hello" / "Dockerfile").write_text("FROM scratch\n")
    assert why_unusable(checkout) == "examples/ has uncommitted changes"


def test_the_demo_says_why_it_copies_what_is_in_no_repository_or_not_committed(tmp_path: Path) -> None:
    (tmp_path / "examples").mkdir()
    assert "not a git repository" in str(why_unusable(tmp_path))
    make_repository(tmp_path)
    assert why_unusable(tmp_path) == "examples/ is not committed"
