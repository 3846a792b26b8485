"""The values that all packages share: frozen, comparable, and converted to and from JSON.

May import: errors.
Must not know: services, files, settings.
Public: Package (package), Reference (reference), Descriptor (images), Job (run), JobState (states).
"""

from farm.model.images import (
    ARCHES,
    UNAME,
    ArchImage,
    Descriptor,
    Platform,
    arch_of_uname,
    refuse_unknown_arches,
)
from farm.model.package import BuildYml, DockerImages, ExtraSource, GitTree, Package
from farm.model.reference import DEFAULT_REGISTRY, DIGEST, Reference, digest_from_hex, digest_of, hex_of
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
    "refuse_unknown_arches",
]
