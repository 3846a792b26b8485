"""What a case must end with: the right images, one signed index, and a state that agrees."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from farm.model import ArchImage, Reference
from farm.registry.client import Registry
from farm.registry.credentials import Credentials
from farm.registry.index import members_of
from farm.registry.published_images import arch_image, read_index
from farm.trust.notary.client import NotaryServer
from farm.trust.notary.verify import read_signatures

if TYPE_CHECKING:
    from collections.abc import Collection

    from tests.fault.process import Process
    from tests.fault.rig import Rig

ARCHES = ("amd64", "arm64")


@dataclass(frozen=True)
class Package:
    """A package that a test pushes."""

    name: str
    reference: str
    arches: tuple[str, ...]

    @property
    def tag(self) -> str:
        """The hash in its reference."""
        return self.reference.rpartition(":")[2]


def write(
    rig: Rig, *names: str, step: str = "", arches: tuple[str, ...] = ARCHES, padding: int = 0
) -> dict[str, Package]:
    """Write new packages, and initialise signing for them.

    Args:
        rig: where they are to be pushed.
        names: of the packages.
        step: a command of their build, or "".
        arches: what they are built for.
        padding: bytes by which their images are larger.
    """
    run = f"RUN {step}\n" if step else ""
    for name in names:
        folder = rig.workspace.directory / name
        folder.mkdir()
        (folder / "build.yml").write_text(f"image: {name}\narches: [{', '.join(arches)}]\n")
        (folder / "Dockerfile").write_text(
            f"ARG REGISTRY\nFROM ${{REGISTRY}}/library/busybox:1.36\nCOPY nonce /nonce\n{run}"
        )
        (folder / "nonce").write_bytes(secrets.token_bytes(8 + padding))
    rig.workspace.commit()
    rig.prepare(*names)
    shown = rig.ask("show-tag", *names)
    assert shown.code == 0, shown.err
    return {name: Package(name, line, arches) for name, line in zip(names, shown.out.split(), strict=True)}


def state_of(rig: Rig, package: Package) -> dict[str, Any]:
    """What `farm status --json` reports for a package in its newest run."""
    run = rig.run_of(package.reference)
    assert run is not None
    status = rig.ask("status", run, "--json").json
    return next(one for one in status["packages"] if one["reference"] == package.reference)


def assert_published(rig: Rig, *packages: Package, builds: Collection[int] = (1,)) -> None:
    """Check that packages of one run are published and signed, with an allowed number of builds."""
    run = rig.run_of(packages[0].reference)
    assert run is not None
    status = rig.ask("status", run, "--json").json
    assert status["state"] == "done"
    states = {one["reference"]: one for one in status["packages"]}
    for package in packages:
        _assert_consistent(rig, package, states[package.reference])
        for arch in package.arches:
            made = rig.builds(package.reference, arch)
            assert len(made) in builds, (package.name, arch, made)


def _assert_consistent(rig: Rig, package: Package, state: dict[str, Any]) -> None:
    """Check that the state agrees with the registry and the notary server."""
    assert state["state"] == "signed", state
    assert {job["state"] for job in state["jobs"]} <= {"built", "exists"}, state
    reference = Reference.parse(package.reference)
    held = Reference(rig.lab.registry, reference.repository, reference.tag)
    with Registry(Credentials(rig.home), timeout=30) as registry:
        index, found = read_index(registry, held)
        assert index is not None
        assert found is not None
        assert found.to_json() == state["index"]
        recorded = {job["arch"]: ArchImage.from_json(job["image"]).descriptors for job in state["jobs"]}
        for arch in package.arches:
            image = arch_image(registry, held.for_arch(arch), arch)
            assert image is not None
            assert members_of(index, arch) == image.descriptors == recorded[arch]
    server = NotaryServer(rig.lab.notary_url, rig.home / "trust", rig.lab.notary_ca)
    signed = read_signatures([reference.name], server)[reference.name][str(reference.tag)]
    assert (signed.digest, signed.size) == (found.digest, found.size)


def assert_failed(rig: Rig, package: Package, *, because: str, published: bool = False) -> str:
    """Check that a package failed and left nothing half done; returns the error message."""
    state = state_of(rig, package)
    assert state["state"] == "failed", state
    sentence = str(state["error"]["message"])
    assert package.name in sentence
    assert because in sentence, sentence
    assert "\n" not in sentence
    held = Reference.parse(package.reference.replace(f"localhost:{rig.registry.port}", rig.lab.registry))
    with Registry(Credentials(rig.home), timeout=30) as registry:
        assert (registry.head(held) is not None) is published
    return sentence


def assert_done(push: Process) -> None:
    """Check that `farm push` succeeded."""
    code = push.wait(240)
    errors = [line for line in push.said().splitlines() if '"message"' in line]
    assert code == 0, "\n".join(errors)
