"""Content of a registry: platforms, descriptors, the image of one architecture.

https://github.com/opencontainers/image-spec/blob/v1.1.0/descriptor.md
https://github.com/opencontainers/image-spec/blob/v1.1.0/image-index.md
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from farm.model.reference import Reference
from farm.model.wire import each, from_wire, to_wire


@dataclass(frozen=True, slots=True, order=True)
class Platform:
    """An OCI platform, such as linux/arm64/v8."""

    architecture: str
    os: str = "linux"
    variant: str | None = None

    def __str__(self) -> str:
        return "/".join(part for part in (self.os, self.architecture, self.variant) if part)

    def to_json(self) -> dict[str, str]:
        """The platform object of the OCI image index."""
        data = {"architecture": self.architecture, "os": self.os}
        return data | {"variant": self.variant} if self.variant else data

    @staticmethod
    def from_json(data: dict[str, Any]) -> Platform:
        """The inverse of `to_json`; other properties, such as os.version, are ignored."""
        return Platform(data["architecture"], data["os"], data.get("variant"))


@dataclass(frozen=True, slots=True)
class Descriptor:
    """An OCI content descriptor: media type, sha256 digest, size in bytes."""

    media_type: str
    digest: str
    size: int
    platform: Platform | None = None
    annotations: tuple[tuple[str, str], ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The descriptor object of the OCI specification."""
        data: dict[str, Any] = {"mediaType": self.media_type, "digest": self.digest, "size": self.size}
        if self.platform:
            data["platform"] = self.platform.to_json()
        if self.annotations:
            data["annotations"] = dict(self.annotations)
        return data

    @staticmethod
    def from_json(data: dict[str, Any]) -> Descriptor:
        """The inverse of `to_json`."""
        platform = Platform.from_json(data["platform"]) if data.get("platform") else None
        annotations = tuple(sorted((data.get("annotations") or {}).items()))
        return Descriptor(data["mediaType"], data["digest"], data["size"], platform, annotations)


@dataclass(frozen=True, slots=True)
class ArchImage:
    """One architecture's image in the registry: its reference and its descriptors for the index.

    Its tag may be an index (an image with attestations); then `descriptors` has all members of that index.
    """

    arch: str
    reference: Reference
    descriptors: tuple[Descriptor, ...]

    def to_json(self) -> dict[str, Any]:
        """The image as tasks return it."""
        return to_wire(self)

    @staticmethod
    def from_json(data: dict[str, Any]) -> ArchImage:
        """The inverse of `to_json`."""
        return from_wire(ArchImage, data, reference=Reference.parse, descriptors=each(Descriptor.from_json))
