"""The values that all packages share: frozen, comparable, and converted to and from JSON.

May import: errors.
Must not know: services, files, settings.
Public: Package (package), Reference (reference), Descriptor (images), Job (run), JobState (states).
"""

import importlib
from typing import TYPE_CHECKING, Any

from farm.model.arches import ARCHES, UNAME, arch_of_uname, refuse_unknown_arches
from farm.model.package import BuildYml, ExtraSource, GitTree, Package, Submodule, combined_hash
from farm.model.reference import DEFAULT_REGISTRY, DIGEST, Reference

if TYPE_CHECKING:
    from farm.model.digests import digest_from_hex, digest_of, hex_of
    from farm.model.docker_images import DockerImages
    from farm.model.images import ArchImage, Descriptor, Platform
    from farm.model.run import Copy, Job, PackageWork, Run
    from farm.model.states import JobState, PackageState, RunPriority, RunState

_LATER = {
    "digests": ("digest_from_hex", "digest_of", "hex_of"),
    "docker_images": ("DockerImages",),
    "images": ("ArchImage", "Descriptor", "Platform"),
    "run": ("Copy", "Job", "PackageWork", "Run"),
    "states": ("JobState", "PackageState", "RunPriority", "RunState"),
}
"""The modules whose values a tag does not need: commands that only make one start faster without them."""

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
    """Import a module of `_LATER` when one of its values is used."""
    for module, names in _LATER.items():
        if name in names:
            return getattr(importlib.import_module(f"farm.model.{module}"), name)
    raise AttributeError(name)
