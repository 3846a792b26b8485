"""The values that the farm reasons about: frozen, comparable, and JSON at every boundary."""

from farm.model.arches import ARCHES, UNAME, arch_of_uname
from farm.model.digest import DIGEST, digest_from_hex, digest_of, hex_of
from farm.model.images import ArchImage, Descriptor, Platform
from farm.model.package import BuildYml, DockerImages, ExtraSource, GitTree, Package
from farm.model.reference import DEFAULT_REGISTRY, Reference
from farm.model.states import JobState, PackageState, RunState
from farm.model.work import Copy, Job, PackageWork, Run

__all__ = [
    "ARCHES",
    "DEFAULT_REGISTRY",
    "DIGEST",
    "UNAME",
    "ArchImage",
    "BuildYml",
    "Copy",
    "Descriptor",
    "DockerImages",
    "ExtraSource",
    "GitTree",
    "Job",
    "JobState",
    "Package",
    "PackageState",
    "PackageWork",
    "Platform",
    "Reference",
    "Run",
    "RunState",
    "arch_of_uname",
    "digest_from_hex",
    "digest_of",
    "hex_of",
]
