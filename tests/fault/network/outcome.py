"""What a case ends with: the right images, one signed index, and a state that tells the truth."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import httpx

from farm.registry.media import ACCEPT

if TYPE_CHECKING:
    from tests.fault.process import Process
    from tests.fault.rig import Rig

ARCHES = ("amd64", "arm64")


@dataclass(frozen=True)
class Package:
    """A package that a test pushes."""

    name: str
    reference: str

    @property
    def tag(self) -> str:
        """The hash in its reference."""
        return self.reference.rpartition(":")[2]


def write(rig: Rig, *names: str, seconds: float = 0) -> dict[str, Package]:
    """Packages that were never built before, for two architectures, ready to be signed."""
    yml = "arches: [amd64, arm64]\n"
    made = {
        name: Package(name, rig.package(name, seconds=seconds, build_yml=f"image: {name}\n{yml}"))
        for name in names
    }
    rig.prepare(*names)
    return made


def state_of(rig: Rig, package: Package) -> dict[str, Any]:
    """What `farm status --json` says of a package in its newest run."""
    run = rig.run_of(package.reference)
    assert run is not None
    status = rig.ask("status", run, "--json").json
    return next(one for one in status["packages"] if one["reference"] == package.reference)


def assert_published(rig: Rig, package: Package, *, builds: int = 1) -> None:
    """Make sure that a package stands, complete and signed, each architecture built so many times."""
    state = state_of(rig, package)
    assert state["state"] == "signed", state
    assert {job["state"] for job in state["jobs"]} <= {"built", "exists"}, state
    shown = rig.ask("inspect", "--json", package.reference)
    assert shown.code == 0, shown.err
    described = shown.json
    assert [one["platform"]["architecture"] for one in described["images"]] == list(ARCHES)
    assert described["signature"] == "signed", described
    assert state["index"]["digest"] == described["digest"]
    for image, job in zip(described["images"], state["jobs"], strict=True):
        assert image["digest"] == job["image"]["descriptors"][0]["digest"]
        assert manifest_of(rig, package, f"{package.tag}-{job['arch']}") is not None
        assert len(rig.builds(package.reference, job["arch"])) == builds, job["arch"]


def assert_failed(rig: Rig, package: Package, *, because: str, published: bool = False) -> None:
    """Make sure that a package failed, says why in one sentence, and left nothing in part."""
    state = state_of(rig, package)
    assert state["state"] == "failed", state
    sentence = state["error"]["message"]
    assert package.name in sentence
    assert because in sentence, sentence
    assert "\n" not in sentence
    assert (manifest_of(rig, package, package.tag) is not None) is published


def manifest_of(rig: Rig, package: Package, tag: str) -> dict[str, Any] | None:
    """What the registry itself holds under a tag of a package."""
    path = package.reference.partition("/")[2].rpartition(":")[0]
    answer = httpx.get(
        f"http://{rig.lab.registry}/v2/{path}/manifests/{tag}", headers=ACCEPT, trust_env=False
    )
    if answer.status_code == httpx.codes.NOT_FOUND:
        return None
    return dict(json.loads(answer.raise_for_status().content))


def assert_done(push: Process) -> None:
    """Make sure that `farm push` ended well."""
    code = push.wait(240)
    said = [line for line in push.said().splitlines() if '"message"' in line]
    assert code == 0, "\n".join(said)
