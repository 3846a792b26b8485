"""The values that all packages share: frozen, comparable, and converted to and from JSON.

May import: errors.
Must not know: services, files, settings.
Public: Package (package), Reference (reference), Descriptor (images), Job (run), JobState (states).
"""

from typing import TYPE_CHECKING, Any

from farm.model.images import (
    ARCHES,
    UNAME,
    ArchImage,
    Descriptor,
    Platform,
    arch_of_uname,
    refuse_unknown_arches,
)
from farm.model.package import BuildYml, DockerImages, ExtraSource, GitTree, Package, Submodule, combined_hash
from farm.model.reference import DEFAULT_REGISTRY, DIGEST, Reference, digest_from_hex, digest_of, hex_of
from farm.model.states import JobState, PackageState, RunPriority, RunState

if TYPE_CHECKING:
    from farm.model.run import Copy, Job, PackageWork, Run

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
    "RunPriority",
    "RunState",
    "Submodule",
    "arch_of_uname",
    "combined_hash",
    "digest_from_hex",
    "digest_of",
    "hex_of",
    "refuse_unknown_arches",
]


def __getattr__(name: str) -> Any:
    """Import the values of runs when they are used: a plan needs none, and starts faster without them."""
    if name not in __all__:
        raise AttributeError(name)
    from farm.model import run  # noqa: PLC0415 - see above

    return getattr(run, name)
