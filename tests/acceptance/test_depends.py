"""depends.docker-images: a package is built with the images that it lists, for its architecture."""

from __future__ import annotations

import json
import subprocess
import tarfile
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from tests.acceptance.conftest import NewWorkspace
    from tests.support.farm_command import Workspace

ARCHES = ("amd64", "arm64")
KEEP_ALL = "ARG REGISTRY\nFROM ${REGISTRY}/library/busybox:1.36\nCOPY . /context/\n"


@pytest.fixture(scope="module")
def workspace(new_workspace: NewWorkspace) -> Workspace:
    """An empty workspace."""
    return new_workspace()


def pinned(workspace: Workspace) -> str:
    """The lab's base image with its tag and the digest of its index."""
    base = workspace.lab.base
    return f"{base}@{workspace.done('inspect', '--json', '--no-sign', base).json['digest']}"


def contents(workspace: Workspace, package: str, arch: str, into: Path) -> Path:
    """The directory /context of a package's image, copied out."""
    image = f"{workspace.reference(package)}-{arch}"
    home = into / arch
    environment = workspace.lab.docker_trust_environment(home) | {"DOCKER_CONTENT_TRUST": "0"}

    def docker(*words: str) -> str:
        command = [workspace.lab.docker_cli, *words]
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=60, check=True
        )
        return done.stdout.strip()

    container = docker("create", f"--platform=linux/{arch}", image)
    docker("cp", f"{container}:/context", str(home / "context"))
    docker("rm", container)
    docker("image", "rm", image)
    return home / "context"


def image_in(archive: Path) -> tuple[list[str], str]:
    """The names and the architecture of the one image in an archive."""
    with tarfile.open(archive) as tar:

        def read(name: str) -> Any:
            file = tar.extractfile(name)
            assert file is not None
            return json.load(file)

        (listed,) = read("manifest.json")
        assert set(listed["Layers"]) <= set(tar.getnames())
        return listed["RepoTags"], read(listed["Config"])["architecture"]


@pytest.mark.parametrize("given", ["list", "from-file"])
def test_target_dir_is_emptied_and_holds_a_file_for_each_image(
    workspace: Workspace, tmp_path: Path, given: str
) -> None:
    image, name = pinned(workspace), f"many-{given}"
    listed = "from-file: images.lst" if given == "from-file" else f"list: ['{image}']"
    yml = f"image: {name}\narches: [amd64, arm64]\ndepends:\n  docker-images:\n    target-dir: images\n"
    (workspace.directory / name / "images").mkdir(parents=True)
    (workspace.directory / name / "images" / "stale").write_text("from long ago")
    workspace.write(
        name,
        Dockerfile=KEEP_ALL,
        build_yml=f"{yml}    {listed}\n",
        **{"images.lst": f"# images\n\n{image}\n"},
    )
    workspace.done("push", "--no-sign", name)
    for arch in ARCHES:
        context = contents(workspace, name, arch, tmp_path)
        (archive,) = (context / "images").iterdir()
        assert archive.name == f"busybox@{image.rpartition('@')[2]}.tar"
        assert image_in(archive) == ([workspace.lab.base], arch)


def test_target_is_one_archive_that_docker_loads(workspace: Workspace, tmp_path: Path) -> None:
    image = pinned(workspace)
    yml = "image: one\narches: [amd64]\ndepends:\n  docker-images:\n    target: lib/images.tar\n"
    workspace.write("one", Dockerfile=KEEP_ALL, build_yml=f"{yml}    list: ['{image}']\n")
    workspace.done("push", "--no-sign", "one")
    context = contents(workspace, "one", "amd64", tmp_path)
    archive = context / "lib" / "images.tar"
    environment = workspace.lab.docker_trust_environment(tmp_path)
    command = [workspace.lab.docker_cli, "load", "--input", str(archive)]
    loaded = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=True)
    assert f"Loaded image: {workspace.lab.base}" in loaded.stdout


def test_a_missing_image_fails_the_build_with_one_line(workspace: Workspace) -> None:
    absent = f"{workspace.lab.registry}/library/busybox@sha256:{'0' * 64}"
    yml = "image: lacking\narches: [amd64]\ndepends:\n  docker-images:\n    target: images.tar\n"
    workspace.write("lacking", Dockerfile=KEEP_ALL, build_yml=f"{yml}    list: ['{absent}']\n")
    answer = workspace.farm("push", "--no-sign", "lacking")
    assert answer.code == 1
    assert "which the package depends on, is not in its registry" in answer.err
    assert workspace.tags("lacking") == []


def test_an_image_for_other_architectures_fails_only_that_build(workspace: Workspace) -> None:
    image = pinned(workspace)
    yml = "image: partly\narches: [riscv64]\ndepends:\n  docker-images:\n    target: images.tar\n"
    workspace.write(
        "partly", Dockerfile="FROM scratch\nCOPY . /\n", build_yml=f"{yml}    list: ['{image}']\n"
    )
    answer = workspace.farm("push", "--no-sign", "partly")
    assert answer.code == 1
    assert "has no image for riscv64" in answer.err
