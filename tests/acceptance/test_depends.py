"""depends.docker-images: a package is built with the images that it lists, for its architecture."""

from __future__ import annotations

import json
import subprocess
import tarfile
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.farm_command import BUSYBOX

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.farm_command import Workspace

ARCHES = ("amd64", "arm64")
KEEP_ALL = f"{BUSYBOX}COPY . /context/\n"


@pytest.fixture(scope="module")
def image(lasting: Workspace) -> str:
    """The lab's base image with its tag and the digest of its index."""
    return f"{lasting.lab.base}@{lasting.digest(lasting.lab.base)}"


def contents(lasting: Workspace, package: str, arch: str, into: Path) -> Path:
    """The directory /context of a package's image, copied out."""
    image = f"{lasting.reference(package)}-{arch}"
    home = into / arch
    environment = lasting.lab.docker_trust_environment(home) | {"DOCKER_CONTENT_TRUST": "0"}

    def docker(*words: str) -> str:
        command = [lasting.lab.docker_cli, *words]
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
    lasting: Workspace, image: str, tmp_path: Path, given: str
) -> None:
    name = f"many-{given}"
    listed = "from-file: images.lst" if given == "from-file" else f"list: ['{image}']"
    yml = f"image: {name}\narches: [amd64, arm64]\ndepends:\n  docker-images:\n    target-dir: images\n"
    (lasting.directory / name / "images").mkdir(parents=True)
    (lasting.directory / name / "images" / "stale").write_text("from long ago")
    lasting.write(
        name,
        Dockerfile=KEEP_ALL,
        build_yml=f"{yml}    {listed}\n",
        **{"images.lst": f"# images\n\n{image}\n"},
    )
    lasting.done("push", "--no-sign", name)
    for arch in ARCHES:
        context = contents(lasting, name, arch, tmp_path)
        (archive,) = (context / "images").iterdir()
        assert archive.name == f"busybox@{image.rpartition('@')[2]}.tar"
        assert image_in(archive) == ([lasting.lab.base], arch)


def test_target_is_one_archive_that_docker_loads(lasting: Workspace, image: str, tmp_path: Path) -> None:
    yml = "image: one\narches: [amd64]\ndepends:\n  docker-images:\n    target: lib/images.tar\n"
    lasting.write("one", Dockerfile=KEEP_ALL, build_yml=f"{yml}    list: ['{image}']\n")
    lasting.done("push", "--no-sign", "one")
    context = contents(lasting, "one", "amd64", tmp_path)
    archive = context / "lib" / "images.tar"
    environment = lasting.lab.docker_trust_environment(tmp_path)
    command = [lasting.lab.docker_cli, "load", "--input", str(archive)]
    loaded = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=True)
    assert f"Loaded image: {lasting.lab.base}" in loaded.stdout


def test_a_missing_image_fails_the_build_with_one_line(lasting: Workspace) -> None:
    absent = f"{lasting.lab.registry}/library/busybox@sha256:{'0' * 64}"
    yml = "image: lacking\narches: [amd64]\ndepends:\n  docker-images:\n    target: images.tar\n"
    lasting.write("lacking", Dockerfile=KEEP_ALL, build_yml=f"{yml}    list: ['{absent}']\n")
    answer = lasting.farm("push", "--no-sign", "lacking")
    assert answer.code == 1
    assert "which the package depends on, is not in its registry" in answer.err
    assert lasting.tags("lacking") == []


def test_an_image_for_other_architectures_fails_only_that_build(lasting: Workspace) -> None:
    lasting.write("narrow", arches="amd64")
    lasting.done("push", "--no-sign", "narrow")
    narrow = lasting.reference("narrow")
    image = f"{narrow}@{lasting.digest(narrow)}"
    yml = "image: partly\narches: [s390x]\ndepends:\n  docker-images:\n    target: images.tar\n"
    lasting.write("partly", Dockerfile=KEEP_ALL, build_yml=f"{yml}    list: ['{image}']\n")
    answer = lasting.farm("push", "--no-sign", "partly")
    assert answer.code == 1
    assert "has no image for s390x" in answer.err
