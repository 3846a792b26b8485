"""Values of the farm, with defaults for what does not matter to a test."""

from __future__ import annotations

from typing import Any

from farm.model import (
    ArchImage,
    BuildYml,
    Descriptor,
    GitTree,
    Job,
    Package,
    PackageWork,
    Platform,
    Reference,
    Run,
    digest_of,
)
from farm.model.order import OrderedRun, SignedOrder, make_order
from farm.registry.oci import OCI_MANIFEST

HASH = "ab12cd34" * 5


def digest(text: str) -> str:
    """The digest of some text."""
    return digest_of(text.encode())


def descriptor(name: str, arch: str | None = "amd64", **more: Any) -> Descriptor:
    """The descriptor of an image manifest; the same name always gives the same digest."""
    return Descriptor(OCI_MANIFEST, digest(name), 7, Platform(arch) if arch else None, **more)


def attestation(name: str, about: Descriptor) -> Descriptor:
    """An attestation of BuildKit about an image."""
    facts = {"vnd.docker.reference.type": "attestation-manifest", "vnd.docker.reference.digest": about.digest}
    platform = Platform("unknown", "unknown")
    return Descriptor(OCI_MANIFEST, digest(name), 9, platform, tuple(sorted(facts.items())))


def reference(package: str = "linuxkit/foo", registry: str = "localhost:1") -> Reference:
    """NAME:HASH of a package."""
    return Reference(registry, package, HASH)


def image(arch: str, *descriptors: Descriptor, package: str = "linuxkit/foo") -> ArchImage:
    """An architecture's image."""
    members = descriptors or (descriptor(f"{package} {arch}", arch),)
    return ArchImage(arch, reference(package).for_arch(arch), members)


def package(name: str = "foo", *, arches: tuple[str, ...] | None = None, **more: Any) -> Package:
    """A clean package at a commit."""
    facts: dict[str, Any] = {
        "directory": f"pkg/{name}",
        "yml": BuildYml(name, arches=arches),
        "reference": Reference("docker.io", f"linuxkit/{name}", HASH),
        "hash": HASH,
        "repository": "/src",
        "commit": "c" * 40,
        "dirty": False,
        "trees": (GitTree(f"pkg/{name}", HASH),),
    }
    return Package(**{**facts, **more})


def job(arch: str = "amd64", *, run: str = "r1", package: str = "linuxkit/foo", **more: Any) -> Job:
    """A build."""
    facts: dict[str, Any] = {"hash": HASH, "tree": HASH, "tag": "{{.Hash}}", "context": digest(package)}
    return Job(run=run, package=package, reference=reference(package), arch=arch, **{**facts, **more})


def work(package: str = "linuxkit/foo", *arches: str, run: str = "r1", **more: Any) -> PackageWork:
    """The work for a package: a build of every architecture."""
    jobs = tuple(job(arch, run=run, package=package) for arch in arches)
    return PackageWork(package, reference(package), **{"arches": arches, "jobs": jobs, **more})


def run_of(*works: PackageWork, run: str = "r1") -> Run:
    """A run."""
    return Run(run, "a@host", 1000.0, works)


def ordered(run: Run) -> OrderedRun:
    """A run with an order that nobody has signed: for what does not look at the signature."""
    order, parts = make_order(run, "nonce")
    return OrderedRun(run, SignedOrder(order.to_bytes(), ""), parts)
