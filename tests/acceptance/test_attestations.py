"""A farm whose workers build with buildx publishes attestations in the index."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from lab.engine import CONTAINERD
from tests.support.buildx import count_calls, install_buildx, of_kind, push_generator
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
    docker = lasting.directory.parent / "docker"
    install_buildx(docker)
    calls = count_calls(docker)
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
    calls.rename(docker / "calls.push")
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


def test_a_job_looks_for_its_builder_once(attesting: Workspace) -> None:
    """Which takes a process: before each build, and not again for its push."""
    calls = (attesting.directory.parent / "docker" / "calls.push").read_text().split()
    assert calls.count("build") == len(ARCHES)
    assert calls[-1] == "build"


def test_doctor_and_workers_name_the_builder_and_the_reason(attesting: Workspace) -> None:
    assert "buildx 0.13.1 (for sbom, provenance)" in attesting.done("workers").out
    assert "buildx 0.13.1 (for sbom, provenance)" in attesting.farm("doctor").out
