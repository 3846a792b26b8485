"""What must hold at the end of a run, as the registry, the notary server and `farm` report it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from farm.registry.oci import ACCEPT
from farm.state.run_handles import RunHandle
from farm.state.runs import read_run
from tests.fault.rig import ARCHES
from tests.fault.summary import SUMMARY
from tests.support.farm_command import wait_until
from tests.support.http import send

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from farm.state.records import PackageRecord
    from tests.fault.rig import Rig


def check(rig: Rig, references: Collection[str]) -> dict[str, PackageRecord]:
    """Check images, index, signature and the run's record; returns the record of each package.

    Also check that no architecture was built again after its image had been pushed.
    """
    packages: dict[str, PackageRecord] = {}
    runs = {rig.run_of(reference) for reference in references}
    assert None not in runs
    handles = [RunHandle(rig.store, run) for run in runs if run]
    wait_until(lambda: all(read_run(handle).state.ended for handle in handles), 240)
    for record in map(read_run, handles):
        assert record.state == "done", record
        packages |= {package.reference: package for package in record.packages.values()}
    planned = plan_of(rig, references)
    for reference in references:
        package, found = packages[reference], planned[reference]
        assert found["why"] == "published and signed"
        assert package.index is not None
        assert (package.state, package.index.to_json()) == ("signed", found["index"])
        assert {job.state for job in package.jobs.values()} <= {"built", "exists"}
        check_images(rig, reference, found["index"]["digest"])
        for arch in ARCHES:
            assert rig.needless_builds(reference, arch) == []
    return packages


def check_built_once(rig: Rig, survived: Mapping[str, Sequence[tuple[str, str]]]) -> None:
    """Check packages, each with what it survived: fault and phase. Each architecture was built once."""
    check(rig, survived)
    for reference, faults in survived.items():
        assert built(rig, reference) == dict.fromkeys(ARCHES, 1)
        for fault, phase in faults:
            SUMMARY.add(fault, phase, "built once, one index, signed")


def plan_of(rig: Rig, references: Collection[str]) -> dict[str, dict[str, Any]]:
    """What `farm plan` reports for each package: it asks the registry and the notary server."""
    names = (reference.rpartition("/")[2].partition(":")[0] for reference in references)
    plan = rig.ask("plan", "--json", *names)
    assert plan.code == 0, plan.err
    return {package["reference"]: package for package in plan.json["packages"]}


def check_images(rig: Rig, reference: str, digest: str) -> None:
    """Check that the index has each architecture once, with this package's image."""
    repository = reference.partition("/")[2].rpartition(":")[0]

    def get(place: str) -> Any:
        url = f"http://{rig.lab.registry}/v2/{repository}/{place}"
        answer = send("GET", url, headers=ACCEPT)
        assert answer.status == 200
        return answer.json()

    index = get(f"manifests/{digest}")
    assert [member["platform"]["architecture"] for member in index["manifests"]] == list(ARCHES)
    for member, arch in zip(index["manifests"], ARCHES, strict=True):
        manifest = get(f"manifests/{member['digest']}")
        config = get(f"blobs/{manifest['config']['digest']}")
        assert config["architecture"] == arch
        assert any(rig.written[reference] in step.get("created_by", "") for step in config["history"])


def built(rig: Rig, reference: str) -> dict[str, int]:
    """The number of builds of each architecture that the engine was asked for."""
    return {arch: len(rig.builds(reference, arch)) for arch in ARCHES}
