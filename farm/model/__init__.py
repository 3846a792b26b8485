"""The values that all packages share: frozen, comparable, and converted to and from JSON.

May import: errors.
Must not know: services, files, settings.
Public: Package (package), Reference (reference), Descriptor (images), Job (run), JobState (states).
"""

from farm.model.arches import ARCHES, UNAME, arch_of_uname
from farm.model.digest import DIGEST, digest_from_hex, digest_of, hex_of
from farm.model.images import ArchImage, Descriptor, Platform
from farm.model.package import BuildYml, DockerImages, ExtraSource, GitTree, Package
from farm.model.reference import DEFAULT_REGISTRY, Reference
from farm.model.run import Copy, Job, PackageWork, Run
from farm.model.states import JobState, PackageState, RunState

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
