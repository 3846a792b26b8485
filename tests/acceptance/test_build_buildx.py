"""farm build where the settings ask for what only buildx can do; the images come into the same cache."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from lab.engine import CONTAINERD
from tests.acceptance.test_attestations import push_generator
from tests.support.buildx import install_buildx

if TYPE_CHECKING:
    from pathlib import Path

    from tests.acceptance.conftest import NewWorkspace
    from tests.conftest import Engines
    from tests.support.farm_command import Workspace

BASE = "ARG REGISTRY\nFROM ${REGISTRY}/library/busybox:1.36\n"
ONE = "image: NAME\narches: [amd64]\n"


@pytest.fixture
def workspace(new_workspace: NewWorkspace, tmp_path: Path) -> Workspace:
    """A repository and a cache of its own; docker has buildx."""
    made = new_workspace()
    made.variables["LINUXKIT_CACHE"] = str(tmp_path / "cache")
    made.variables["FARM_BROKER"] = "redis://127.0.0.1:1/0"  # nobody is there: no command may ask
    install_buildx(made.directory.parent / "docker")
    return made


def write(workspace: Workspace, name: str, dockerfile: str) -> str:
    """Write a package for amd64; returns NAME:TAG."""
    workspace.write(name, Dockerfile=dockerfile, build_yml=ONE.replace("NAME", name))
    return workspace.done("show-tag", name).out.strip()


def test_a_secret_is_read_by_a_step_and_stands_in_no_log(workspace: Workspace, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("word-of-the-test")
    write(workspace, "keeper", f"{BASE}RUN --mount=type=secret,id=token wc -c < /run/secrets/token\n")
    answer = workspace.done("build", "keeper", FARM_BUILD_SECRETS=f"token={tmp_path}/token")
    assert "| #" in answer.err
    assert " 16" in answer.err
    assert "word-of-the-test" not in answer.out + answer.err
    assert workspace.done("build", "--json", "keeper").json[0]["images"][0]["origin"] == "cache"


def test_attestations_stay_with_an_image_into_the_cache_and_out_of_it(
    workspace: Workspace, engines: Engines, tmp_path: Path
) -> None:
    engine = engines(CONTAINERD)
    generator = push_generator(workspace.lab, engine, tmp_path)
    reference = write(workspace, "attested", f"{BASE}RUN true\n")
    scan = f"-sbom-scanner={generator}"
    workspace.done("pkg", "build", scan, "attested", FARM_ENGINE=engine, FARM_PROVENANCE="min")
    assert workspace.done("cache", "verify").code == 0
    workspace.done("cache", "push", reference)
    images = workspace.done("inspect", f"{reference}-amd64", "--json").json["images"]
    (about,) = (image for image in images if image["attestationOf"])
    kinds = {dict(layer["annotations"])["in-toto.io/predicate-type"] for layer in about["layers"]}
    assert len(kinds) == 2
    assert "https://spdx.dev/Document" in kinds


def test_a_builder_that_is_named_for_a_platform_builds_it(workspace: Workspace, engines: Engines) -> None:
    far = engines(CONTAINERD)
    config = workspace.variables["DOCKER_CONFIG"]
    command = [workspace.lab.docker_cli, "--config", config, "context", "create", "far"]
    subprocess.run([*command, "--docker", f"host={far}"], check=True, capture_output=True, timeout=60)
    write(workspace, "away", f"{BASE}RUN true\n")
    builders = "-builders=linux/amd64=far"
    workspace.done("pkg", "build", builders, "away", FARM_ENGINE=workspace.lab.engine_url)
    assert workspace.done("build", "--json", "away").json[0]["images"][0]["origin"] == "cache"
    gone = workspace.farm("pkg", "build", "-force", "away", LINUXKIT_BUILDERS="linux/amd64=gone")
    assert (gone.code, "the builder gone cannot be used" in gone.err) == (2, True), gone.err


def test_a_package_from_another_that_only_the_cache_has_is_built_by_the_engine(workspace: Workspace) -> None:
    base = write(workspace, "under", f"{BASE}RUN echo under > /under\n")
    write(workspace, "over", f"FROM {base}\nRUN cat /under\n")
    answer = workspace.done("build", "under", "over", FARM_BUILDER="buildx")
    assert "2 packages: 2 built" in answer.out


def test_a_key_that_is_not_there_is_told_before_anything_is_built(workspace: Workspace) -> None:
    write(workspace, "keyless", f"{BASE}RUN true\n")
    answer = workspace.farm("pkg", "build", "-ssh=default=/nowhere/key", "keyless")
    assert answer.code == 2
    assert "build-ssh: default=/nowhere/key: /nowhere/key does not exist" in answer.err
