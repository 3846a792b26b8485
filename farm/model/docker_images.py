"""The images that a package needs in its build context."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from farm.model.wire import from_wire, to_wire


@dataclass(frozen=True, slots=True)
class DockerImages:
    """`depends.docker-images`: images that are saved as tar files into the build context."""

    images: tuple[str, ...] = ()
    from_file: str | None = None
    target: str | None = None
    target_dir: str | None = None

    def to_json(self) -> dict[str, Any]:
        """The images for a job."""
        return to_wire(replace(self, from_file=None))

    @staticmethod
    def from_json(data: dict[str, Any]) -> DockerImages:
        """The inverse of `to_json`."""
        return from_wire(DockerImages, data)
