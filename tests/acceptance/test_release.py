"""A release publishes every package of a push under one more tag, all or none, and never replaces another."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.farm_command import BUSYBOX

if TYPE_CHECKING:
    from tests.support.farm_command import Workspace

PACKAGES = ("one", "two")


@pytest.fixture(scope="module")
def released(lasting: Workspace) -> Workspace:
    """Two packages that were built and released as v1.2 with one push."""
    for package in PACKAGES:
        lasting.write(package, arches="amd64, arm64")
    lasting.done("trust", "init", *PACKAGES)
    answer = lasting.done("push", "--release", "v1.2", *PACKAGES)
    assert "release v1.2: signed" in answer.out
    return lasting


def inspect(workspace: Workspace, package: str, tag: str = "") -> tuple[str, str]:
    """The digest and the signature of a tag of a package; by default of its hash."""
    reference = f"{workspace.org}/{package}:{tag}" if tag else workspace.reference(package)
    described = workspace.done("inspect", "--json", reference).json
    return described["digest"], described["signature"]


def test_a_release_is_the_same_index_signed_under_another_tag(released: Workspace) -> None:
    for package in PACKAGES:
        release = inspect(released, package, "v1.2")
        assert release == inspect(released, package)
        assert release[1] == "signed"


def test_a_second_push_of_the_release_does_nothing(released: Workspace) -> None:
    answer = released.done("push", "--release", "v1.2", *PACKAGES, FARM_BROKER="redis://127.0.0.1:1/0")
    assert "nothing to do" in answer.out


def test_a_published_package_is_released_without_a_build(released: Workspace) -> None:
    assert "release it as v1.3" in released.done("plan", "--release", "v1.3", "one").out
    run = released.done("push", "--json", "--release", "v1.3", "one").json
    assert [package["package"] for package in run["packages"]] == ["release v1.3"]
    assert inspect(released, "one", "v1.3") == inspect(released, "one")
    assert "v1.3" not in released.tags("two")


def test_a_release_never_replaces_another_and_then_nothing_is_done(released: Workspace) -> None:
    before = inspect(released, "one", "v1.2")
    released.write("one", more="changed", Dockerfile=BUSYBOX, arches="amd64, arm64")
    tags = {package: released.tags(package) for package in PACKAGES}
    answer = released.farm("push", "--release", "v1.2", *PACKAGES)
    assert answer.code == 2
    assert f"{released.org}/one:v1.2 already refers to another index" in answer.err
    assert {package: released.tags(package) for package in PACKAGES} == tags
    assert inspect(released, "one", "v1.2") == before


def test_nothing_is_released_when_one_package_fails(released: Workspace) -> None:
    released.write("bad", Dockerfile=f"{BUSYBOX}RUN exit 9\n", arches="amd64")
    released.done("trust", "init", "bad")
    answer = released.farm("push", "--release", "v2", "two", "bad")
    assert answer.code == 1
    assert "release v2: needs" in answer.err
    assert "v2" not in released.tags("two")
    assert "v2" not in released.tags("bad")


def test_a_release_must_be_a_tag_and_the_packages_committed(released: Workspace) -> None:
    assert released.farm("push", "--release", "v1/2", "two").code == 2
    (released.directory / "two" / "dirt").write_text("not committed")
    dirty = released.farm("push", "--release", "v9", "two")
    (released.directory / "two" / "dirt").unlink()
    assert (dirty.code, "uncommitted" in dirty.err) == (2, True)
