"""What must hold at the end of a run, as the registry, the notary server and `farm` report it."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from farm.state.run_handles import RunHandle
from farm.state.runs import read_run
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
    """The JSON under a path of the repository of NAME:TAG, without a proxy."""
    path = reference.partition("/")[2].rpartition(":")[0]
    answer = send("GET", f"http://{rig.lab.registry}/v2/{path}/{place}", headers={"Accept": _TYPES})
    assert answer.status == 200
    return answer.json()


def check(rig: Rig, references: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Check images, index, signature and the run's record; returns the record of each package.

    Also check that no architecture was built again after its image had been pushed.
    """
    packages: dict[str, dict[str, Any]] = {}
    for run in {rig.run_of(reference) for reference in references}:
        assert run is not None
        packages |= status_of(rig, run)
    planned = plan_of(rig, references)
    for reference in references:
        package, found = packages[reference], planned[reference]
        assert found["why"] == "published and signed"
        assert (package["state"], package["index"]) == ("signed", found["index"])
        assert {job["state"] for job in package["jobs"]} <= {"built", "exists"}
        check_images(rig, reference, found["index"]["digest"])
        for arch in ARCHES:
            assert rig.needless_builds(reference, arch) == []
    return packages


def status_of(rig: Rig, run: str) -> dict[str, dict[str, Any]]:
    """What `farm status` reports for each package of a run, once the run is done."""
    wait_until(lambda: read_run(RunHandle(rig.store, run)).state.ended, 240)
    status = rig.ask("status", run, "--json")
    assert (status.code, status.json["state"]) == (0, "done"), status.out
    return {package["reference"]: package for package in status.json["packages"]}


def plan_of(rig: Rig, references: Sequence[str]) -> dict[str, dict[str, Any]]:
    """What `farm plan` reports for each package: it asks the registry and the notary server."""
    plan = rig.ask("plan", "--json", *(name_of(reference) for reference in references))
    assert plan.code == 0, plan.err
    return {package["reference"]: package for package in plan.json["packages"]}


def check_images(rig: Rig, reference: str, digest: str) -> None:
    """Check that the index has each architecture once, with this package's image."""
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
    """The number of builds of each architecture that the engine was asked for."""
    return Counter({arch: len(rig.builds(reference, arch)) for arch in ARCHES})
