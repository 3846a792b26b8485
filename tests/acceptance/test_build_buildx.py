"""farm build with what only buildx can do: secrets, keys, other builders, attestations."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import docker
import pytest

from lab.engine import CONTAINERD, Kind
from tests.support.buildx import install_buildx, make_context, of_kind, push_generator
from tests.support.farm_command import BUSYBOX

if TYPE_CHECKING:
    from tests.acceptance.conftest import NewWorkspace
    from tests.conftest import Engines
    from tests.support.farm_command import Workspace

SECRET = "RUN --mount=type=secret,id=word test $(wc -c < /run/secrets/word) = 11\n"
SSH = 'RUN --mount=type=ssh test -S "$SSH_AUTH_SOCK"\n'


@pytest.fixture
def workspace(new_workspace: NewWorkspace) -> Workspace:
    """A repository, a separate cache, and buildx; no command may use a broker."""
    made = new_workspace()
    home = made.directory.parent
    install_buildx(home / "docker")
    made.variables["LINUXKIT_CACHE"] = str(home / "cache")
    made.variables["FARM_BROKER"] = "redis://127.0.0.1:1/0"
    return made


def docker_config(workspace: Workspace) -> Path:
    return Path(workspace.variables["DOCKER_CONFIG"])


def cached(workspace: Workspace) -> list[str]:
    """The names in the cache."""
    return [one["name"] for one in workspace.done("cache", "ls", "--json").json]


def write_pair(workspace: Workspace, *, lower: str, upper: str) -> None:
    """Two packages, the upper built FROM the lower, which no registry has."""
    workspace.write("lower", Dockerfile=f"{BUSYBOX}{lower}RUN uname -m > /machine\n")
    tag = workspace.reference("lower").rpartition(":")[2]
    taken = f"ARG ORG\nFROM ${{ORG}}/lower:{tag}\n{upper}RUN test $(cat /machine) = $(uname -m)\n"
    workspace.write("upper", Dockerfile=taken)


def origins(workspace: Workspace, *words: str, **variables: str) -> list[str]:
    """The origin of each image of `farm build`."""
    answer = workspace.done("build", "--json", *words, **variables).json
    return [image["origin"] for one in answer for image in one["images"]]


@pytest.mark.parametrize("kind", [None, CONTAINERD], ids=["engine-20", "engine-26-containerd"])
def test_a_secret_is_available_to_the_steps_that_mount_it_and_in_no_log(
    workspace: Workspace, engines: Engines, kind: Kind | None
) -> None:
    url = engines(kind)
    write_pair(workspace, lower="", upper=SECRET)
    given = {"FARM_ENGINE": url, "FARM_BUILD_SECRETS": "word=env:A_WORD", "A_WORD": "very-secret"}
    client = docker.DockerClient(base_url=url)
    before = {tag for image in client.images.list() for tag in image.tags}
    answer = workspace.done("build", "upper", "lower", **given)
    assert {tag for image in client.images.list() for tag in image.tags} == before
    client.close()
    assert "very-secret" not in answer.out + answer.err
    assert "upper amd64 | " in answer.err
    assert workspace.reference("upper") in cached(workspace)
    assert "no problems" in workspace.done("cache", "verify").out
    assert origins(workspace, "upper", "lower", **given) == ["cache", "cache"]
    assert workspace.repositories() == []


def test_another_builder_builds_its_platforms_from_packages_that_only_the_cache_has(
    workspace: Workspace, engines: Engines
) -> None:
    key = workspace.directory.parent / "key.pem"
    make = ["openssl", "genpkey", "-algorithm", "RSA", "-out", str(key)]
    subprocess.run(make, check=True, capture_output=True, timeout=60)
    make_context(workspace.lab, docker_config(workspace), "far", engines(CONTAINERD))
    write_pair(workspace, lower=SSH, upper="")
    words = ("pkg", "build", f"--ssh=default={key}", "--platforms=linux/arm64", "upper", "lower")
    # There is no engine: the other builder builds.
    nowhere = {"FARM_ENGINE": f"unix://{workspace.directory}/none"}
    workspace.done(*words, "--builders=linux/arm64=far", **nowhere)
    assert f"{workspace.reference('upper')}-arm64" in cached(workspace)
    workspace.done(*words, "--force", LINUXKIT_BUILDERS="linux/arm64=far", **nowhere)


def copied(workspace: Workspace, name: str, into: Path) -> list[str]:
    """Copy a name with all its blobs out of the cache by skopeo; returns the types of its manifests."""
    source = f"oci:{workspace.variables['LINUXKIT_CACHE']}:{name}"
    subprocess.run(["skopeo", "copy", "--quiet", "--all", source, f"dir:{into}"], check=True, timeout=60)
    members = json.loads((into / "manifest.json").read_text()).get("manifests", [{}])
    return [one.get("annotations", {}).get("vnd.docker.reference.type", "image") for one in members]


def test_a_package_is_always_built_from_the_image_that_was_just_built(
    workspace: Workspace, engines: Engines
) -> None:
    given = {"FARM_ENGINE": engines(CONTAINERD), "FARM_EMULATE": "false"}
    words = ("build", "--hash=x", "--force", "lower", "upper")
    workspace.write("lower", Dockerfile=f"{BUSYBOX}RUN echo old > /word\n")
    workspace.done("build", "--hash=x", "lower", **given)
    workspace.done("cache", "push", f"{workspace.org}/lower:x")
    workspace.write("lower", Dockerfile=f"{BUSYBOX}RUN echo new > /word\n")
    workspace.write("upper", Dockerfile="ARG ORG\nFROM ${ORG}/lower:x\nRUN grep new /word\n")
    # The engine's own BuildKit would use the image in the registry.
    answer = workspace.farm(*words, **given)
    assert (answer.code, "differs between the cache and the registry" in answer.out) == (1, True)
    given["FARM_BUILDER"] = "buildx"
    for package in ("lower", "upper"):
        workspace.done("build", "--hash=x", "--force", package, **given)
    refused = workspace.farm(*words, **given, LINUXKIT_CACHE=f"{workspace.directory.parent}/with:colon")
    assert (refused.code, "buildx cannot read the cache" in refused.out) == (1, True)


def test_attestations_are_in_the_cache_and_are_copied_with_the_image(
    workspace: Workspace, engines: Engines, tmp_path: Path
) -> None:
    engine = engines(CONTAINERD)
    generator = push_generator(workspace.lab, engine, tmp_path)
    write_pair(workspace, lower="", upper="")
    given = {"FARM_ENGINE": engine, "FARM_PROVENANCE": "min", "FARM_EMULATE": "false"}
    workspace.done("pkg", "build", f"--sbom-scanner={generator}", "lower", "upper", **given)
    name = workspace.reference("upper")
    assert copied(workspace, f"{name}-amd64", tmp_path / "out") == ["image", "attestation-manifest"]
    workspace.done("cache", "push", name)
    images = workspace.done("inspect", "--no-sign", "--json", name).json["images"]
    (built,), (attestation,) = of_kind(images, attestations=False), of_kind(images, attestations=True)
    assert attestation["attestationOf"] == built["digest"]
    types = {dict(layer["annotations"])["in-toto.io/predicate-type"] for layer in attestation["layers"]}
    assert "https://spdx.dev/Document" in types
    assert any(kind.startswith("https://slsa.dev/provenance/") for kind in types)
    without = {"FARM_SBOM": generator, "FARM_PROVENANCE": "false"}
    workspace.done("pkg", "build", "--sbom-scanner=false", "--force", "lower", **given | without)
    assert copied(workspace, f"{workspace.reference('lower')}-amd64", tmp_path / "bare") == ["image"]


REFUSED = {
    "a secret that is not there": (
        {"FARM_BUILD_SECRETS": "word=/none/word"},
        (2, "build-secrets: word: /none/word cannot be read"),
    ),
    "attestations of an engine that keeps none": (
        {"FARM_SBOM": "true"},
        (2, "this engine's image store does not support sbom"),
    ),
    "a builder that gives no archive away": (
        {"FARM_BUILDERS": "linux/amd64=same"},
        (1, "not supported by the builder: OCI exporter is not supported for the docker driver"),
    ),
    "a builder that nobody knows": (
        {"FARM_BUILDERS": "linux/amd64=unknown"},
        (2, 'the builder unknown cannot be used: no builder "unknown" found'),
    ),
    "the engine's own BuildKit, and what it cannot do": (
        {"FARM_BUILDER": "engine", "FARM_BUILD_SSH": "default"},
        (2, "builder: engine does not support build-ssh"),
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_unsupported_settings_are_refused_in_one_line_and_nothing_is_built(
    workspace: Workspace, case: str
) -> None:
    variables, (code, sentence) = REFUSED[case]
    make_context(workspace.lab, docker_config(workspace), "same", workspace.lab.engine_url)
    workspace.write("foo", Dockerfile=f"{BUSYBOX}RUN true\n")
    answer = workspace.farm("build", "foo", **variables)
    last = answer.err.splitlines()[-1]
    assert (answer.code, last.startswith(f"farm: {sentence}")) == (code, True), answer.err
    assert not Path(workspace.variables["LINUXKIT_CACHE"]).exists()
