"""What a case must end with: the right images, one signed index, and a state that agrees."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING

from farm.model import Reference
from farm.registry.client import Registry
from farm.registry.credentials import Credentials
from farm.registry.index import members_of
from farm.registry.published_images import arch_image, read_index
from farm.state.run_handles import RunHandle
from farm.state.runs import read_run
from farm.trust.notary.verify import read_signatures
from tests.support.git_repos import git

if TYPE_CHECKING:
    from collections.abc import Collection

    from farm.state.records import PackageRecord
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
    trees = {name: git(rig.workspace.directory, "rev-parse", f"HEAD:{name}").decode() for name in names}
    return {name: Package(name, f"{rig.workspace.org}/{name}:{tag}", arches) for name, tag in trees.items()}


def assert_published(rig: Rig, *packages: Package, builds: Collection[int] = (1,)) -> None:
    """Check that packages of one run are published and signed, with an allowed number of builds."""
    run = rig.run_of(packages[0].reference)
    assert run is not None
    record = read_run(RunHandle(rig.store, run))
    assert record.state == "done"
    states = {one.reference: one for one in record.packages.values()}
    for package in packages:
        _assert_consistent(rig, package, states[package.reference])
        for arch in package.arches:
            made = rig.builds(package.reference, arch)
            assert len(made) in builds, (package.name, arch, made)


def _assert_consistent(rig: Rig, package: Package, state: PackageRecord) -> None:
    """Check that the state agrees with the registry and the notary server."""
    assert state.state == "signed", state
    assert {job.state for job in state.jobs.values()} <= {"built", "exists"}, state
    reference = Reference.parse(package.reference)
    held = Reference(rig.lab.registry, reference.repository, reference.tag)
    with Registry(Credentials(rig.home), timeout=30) as registry:
        index, found = read_index(registry, held)
        assert index is not None
        assert found is not None
        assert found == state.index
        for arch in package.arches:
            image, recorded = arch_image(registry, held.for_arch(arch), arch), state.jobs[arch].image
            assert image is not None
            assert recorded is not None
            assert members_of(index, arch) == image.descriptors == recorded.descriptors
    signed = read_signatures([reference.name], rig.notary)[reference.name].tags[str(reference.tag)]
    assert (signed.digest, signed.size) == (found.digest, found.size)


def assert_failed(rig: Rig, package: Package, *, because: str, published: bool = False) -> str:
    """Check that a package failed and left nothing half done; returns the error message."""
    state = rig.record(package.reference)
    assert state.state == "failed", state
    assert state.error is not None
    sentence = state.error.message
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
