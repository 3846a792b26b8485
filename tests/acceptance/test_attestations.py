"""A farm whose workers build with buildx publishes attestations in the index."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from lab.engine import CONTAINERD
from lab.process import free_port
from tests.support.buildx import install_buildx, push_generator

if TYPE_CHECKING:
    from pathlib import Path

    from lab.lab import Lab
    from tests.acceptance.conftest import NewWorkspace
    from tests.conftest import Engines
    from tests.support.farm_command import Workspace

ARCHES = ("amd64", "arm64")
DOCKERFILE = "ARG REGISTRY\nFROM ${REGISTRY}/library/busybox:1.36\nRUN uname -m > /machine\n"


@pytest.fixture
def attesting(lab: Lab, engines: Engines, new_workspace: NewWorkspace, tmp_path: Path) -> Workspace:
    """A workspace whose private farm makes attestations."""
    engine = engines(CONTAINERD)
    workspace = new_workspace()
    install_buildx(workspace.directory.parent / "docker")
    more = {
        "FARM_ENGINE": engine,
        "FARM_ARCHES": ",".join(ARCHES),
        "FARM_SBOM": push_generator(lab, engine, tmp_path),
        "FARM_PROVENANCE": "max",
        "FARM_SIGN": "false",
    }
    workspace.variables.update(more)
    return workspace


def of_kind(images: list[dict[str, Any]], *, attestations: bool) -> list[dict[str, Any]]:
    return [image for image in images if bool(image["attestationOf"]) is attestations]


def test_a_published_index_holds_the_attestations_of_every_architecture(attesting: Workspace) -> None:
    attesting.write("attested", Dockerfile=DOCKERFILE)
    attesting.done("push", "attested")
    reference = attesting.reference("attested")
    images = attesting.done("inspect", reference, "--json").json["images"]
    built = of_kind(images, attestations=False)
    assert sorted(image["platform"]["architecture"] for image in built) == sorted(ARCHES)
    about = of_kind(images, attestations=True)
    assert sorted(image["attestationOf"] for image in about) == sorted(image["digest"] for image in built)
    for attestation in about:
        kinds = {dict(layer["annotations"])["in-toto.io/predicate-type"] for layer in attestation["layers"]}
        assert "https://spdx.dev/Document" in kinds
        assert any(kind.startswith("https://slsa.dev/provenance/") for kind in kinds)
    for image in built:
        assert f"attestation of {image['digest']}" in attesting.done("inspect", reference).out


def test_doctor_and_workers_name_the_builder_and_the_reason(attesting: Workspace) -> None:
    attesting.done("up", "--detach", FARM_FLOWER_PORT=str(free_port()))
    assert "buildx 0.13.1 (for sbom, provenance)" in attesting.done("workers").out
    assert "buildx 0.13.1 (for sbom, provenance)" in attesting.farm("doctor").out
