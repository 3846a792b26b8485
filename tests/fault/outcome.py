"""What must hold at the end of a run, as the registry, the notary server and `farm` report it."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any

from farm.registry.oci import ACCEPT
from farm.state.run_handles import RunHandle
from farm.state.runs import read_run
from tests.fault.rig import ARCHES, Backend
from tests.fault.summary import SUMMARY
from tests.support.farm_command import wait_until
from tests.support.http import send

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from farm.state.records import PackageRecord
    from tests.fault.rig import Request, Rig


def check(rig: Rig, references: Collection[str]) -> dict[str, PackageRecord]:
    """Check images, index, signature and the run's record; returns the record of each package.

    Also check that no architecture was built again after its image had been attested.
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
            assert needless_builds(rig, reference, arch) == []
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
    index = _get(rig, reference, f"manifests/{digest}")
    assert [member["platform"]["architecture"] for member in index["manifests"]] == list(ARCHES)
    for member, arch in zip(index["manifests"], ARCHES, strict=True):
        assert _is_image(rig, reference, arch, member["digest"])


def attested(rig: Rig, reference: str, arch: str) -> float:
    """When a worker first attested an image of this architecture; infinity if none did."""
    repository = re.escape(_repository(reference))
    made = rig.requests(Backend.REGISTRY, "PUT", rf"/{repository}/manifests/sha256-[0-9a-f]{{64}}$")
    times = (one.at for one in made if _is_image(rig, reference, arch, one.target[-71:].replace("-", ":")))
    return min(times, default=math.inf)


def needless_builds(rig: Rig, reference: str, arch: str) -> list[Request]:
    """The builds by a worker that asked the registry for the image after it had been attested.

    A worker that dies between push and attestation leaves an image that nobody vouches for.
    """
    tag, since = f"{reference.rpartition(':')[2]}-{arch}", attested(rig, reference, arch)
    asked = rig.requests(Backend.REGISTRY, "GET", rf"/manifests/{tag}$")

    def last_asked(build: Request) -> float:
        since_start = max(at for at in rig.processes[build.process].starts if at < build.at)
        times = [one.at for one in asked if one.process == build.process and since_start < one.at < build.at]
        assert times, f"{build} without a look at the registry"
        return max(times)

    return [build for build in rig.builds(reference, arch) if last_asked(build) > since]


def _is_image(rig: Rig, reference: str, arch: str, digest: str) -> bool:
    """Whether a digest is that of a package's image for an architecture."""
    manifest = _get(rig, reference, f"manifests/{digest}")
    config = _get(rig, reference, f"blobs/{manifest['config']['digest']}")
    steps = (step.get("created_by", "") for step in config["history"])
    return config["architecture"] == arch and any(rig.written[reference] in step for step in steps)


def _repository(reference: str) -> str:
    return reference.partition("/")[2].rpartition(":")[0]


def _get(rig: Rig, reference: str, place: str) -> Any:
    url = f"http://{rig.lab.registry}/v2/{_repository(reference)}/{place}"
    answer = send("GET", url, headers=ACCEPT)
    assert answer.status == 200
    return answer.json()


def built(rig: Rig, reference: str) -> dict[str, int]:
    """The number of builds of each architecture that the engine was asked for."""
    return {arch: len(rig.builds(reference, arch)) for arch in ARCHES}
