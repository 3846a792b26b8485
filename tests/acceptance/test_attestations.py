"""A farm whose workers build with buildx publishes attestations in the index."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from lab.engine import CONTAINERD
from tests.support.buildx import install_buildx, of_kind, push_generator
from tests.support.farm_command import BUSYBOX

if TYPE_CHECKING:
    from lab.lab import Lab
    from tests.conftest import Engines
    from tests.support.farm_command import Workspace

ARCHES = ("amd64", "arm64")
DOCKERFILE = f"{BUSYBOX}RUN uname -m > /machine\n"


@pytest.fixture(scope="module")
def attesting(
    lab: Lab, engines: Engines, lasting: Workspace, tmp_path_factory: pytest.TempPathFactory
) -> Workspace:
    """A package that was pushed with attestations, and the farm that did it."""
    engine = engines(CONTAINERD)
    install_buildx(lasting.directory.parent / "docker")
    more = {
        "FARM_ENGINE": engine,
        "FARM_ARCHES": ",".join(ARCHES),
        "FARM_SBOM": push_generator(lab, engine, tmp_path_factory.mktemp("generator")),
        "FARM_PROVENANCE": "max",
        "FARM_SIGN": "false",
    }
    lasting.variables.update(more)
    lasting.write("attested", Dockerfile=DOCKERFILE)
    lasting.done("push", "attested")
    return lasting


def test_a_published_index_holds_the_attestations_of_every_architecture(attesting: Workspace) -> None:
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
    shown = attesting.done("inspect", reference).out
    assert all(f"attestation of {image['digest']}" in shown for image in built)


def test_doctor_and_workers_name_the_builder_and_the_reason(attesting: Workspace) -> None:
    assert "buildx 0.13.1 (for sbom, provenance)" in attesting.done("workers").out
    assert "buildx 0.13.1 (for sbom, provenance)" in attesting.farm("doctor").out
