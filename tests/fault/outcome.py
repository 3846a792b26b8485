"""What must hold at the end, whatever died: asked of the registry, the notary server and `farm` itself."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from farm.state.handles import RunHandle
from farm.state.run_reader import read_run
from tests.fault.rig import ARCHES
from tests.support.farm_command import wait_until
from tests.support.http import send

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.fault.rig import Rig

_TYPES = ", ".join(
    f"application/vnd.{kind}+json"
    for kind in (
        "oci.image.index.v1",
        "oci.image.manifest.v1",
        "docker.distribution.manifest.list.v2",
        "docker.distribution.manifest.v2",
    )
)


def get(rig: Rig, reference: str, place: str) -> Any:
    """The JSON under a path of the repository of NAME:TAG, past all relays."""
    path = reference.partition("/")[2].rpartition(":")[0]
    answer = send("GET", f"http://{rig.lab.registry}/v2/{path}/{place}", headers={"Accept": _TYPES})
    assert answer.status == 200
    return answer.json()


def check(rig: Rig, references: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Right images, one complete index, signed, in a run that says so; returns what it says of each package.

    And no architecture was built again once its image had been pushed.
    """
    packages: dict[str, dict[str, Any]] = {}
    for run in {rig.run_of(reference) for reference in references}:
        assert run is not None
        packages |= status_of(rig, run)
    planned = plan_of(rig, references)
    for reference in references:
        package, found = packages[reference], planned[reference]
        assert found["why"] == "stands, signed"
        assert (package["state"], package["index"]) == ("signed", found["index"])
        assert {job["state"] for job in package["jobs"]} <= {"built", "exists"}
        check_images(rig, reference, found["index"]["digest"])
        for arch in ARCHES:
            assert rig.needless_builds(reference, arch) == []
    return packages


def status_of(rig: Rig, run: str) -> dict[str, dict[str, Any]]:
    """What `farm status` says of each package of a run, which must be done or come to be it."""
    wait_until(lambda: read_run(RunHandle(rig.store, run)).state.ended, 240)
    status = rig.ask("status", run, "--json")
    assert (status.code, status.json["state"]) == (0, "done"), status.out
    return {package["reference"]: package for package in status.json["packages"]}


def plan_of(rig: Rig, references: Sequence[str]) -> dict[str, dict[str, Any]]:
    """What `farm plan` says of each package: it asks the registry and the notary server."""
    plan = rig.ask("plan", "--json", *(name_of(reference) for reference in references))
    assert plan.code == 0, plan.err
    return {package["reference"]: package for package in plan.json["packages"]}


def check_images(rig: Rig, reference: str, digest: str) -> None:
    """The index holds each architecture once, each with the image of that architecture and this package."""
    index = get(rig, reference, f"manifests/{digest}")
    assert [member["platform"]["architecture"] for member in index["manifests"]] == list(ARCHES)
    for member, arch in zip(index["manifests"], ARCHES, strict=True):
        manifest = get(rig, reference, f"manifests/{member['digest']}")
        config = get(rig, reference, f"blobs/{manifest['config']['digest']}")
        assert config["architecture"] == arch
        assert any(rig.written[reference] in step.get("created_by", "") for step in config["history"])


def name_of(reference: str) -> str:
    """The package's name in NAME:TAG."""
    return reference.rpartition("/")[2].partition(":")[0]


def built(rig: Rig, reference: str) -> Counter[str]:
    """How often the engine was asked to build each architecture."""
    return Counter({arch: len(rig.builds(reference, arch)) for arch in ARCHES})
