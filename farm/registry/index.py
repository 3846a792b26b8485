"""The multi-architecture index: pure functions over descriptors."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from farm.errors import RegistryError
from farm.model import Descriptor
from farm.registry.media_types import OCI_INDEX

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from farm.model import ArchImage, Platform

_KIND = "vnd.docker.reference.type"
_SUBJECT = "vnd.docker.reference.digest"


@dataclass(frozen=True, slots=True)
class Index:
    """An OCI image index: its members, and annotations of its own."""

    manifests: tuple[Descriptor, ...]
    annotations: tuple[tuple[str, str], ...] = ()

    @staticmethod
    def parse(body: bytes) -> Index:
        """Read an OCI index or a Docker manifest list.

        Raises:
            RegistryError: the bytes are neither.
        """
        try:
            data = json.loads(body)
            members = tuple(Descriptor.from_json(item) for item in _list(data["manifests"]))
            annotations = tuple(sorted((data.get("annotations") or {}).items()))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise RegistryError(f"an index that cannot be read: {error}") from error
        return Index(members, annotations)

    def body(self) -> bytes:
        """The index as it is stored: the same members give the same bytes."""
        data: dict[str, Any] = {
            "schemaVersion": 2,
            "mediaType": OCI_INDEX,
            "manifests": [member.to_json() for member in self.manifests],
        }
        if self.annotations:
            data["annotations"] = dict(self.annotations)
        return json.dumps(data, separators=(",", ":"), ensure_ascii=False).encode()

    def descriptor(self) -> Descriptor:
        """What names the index."""
        body = self.body()
        return Descriptor(OCI_INDEX, f"sha256:{hashlib.sha256(body).hexdigest()}", len(body))


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise TypeError("its manifests are no list")
    return value


def is_attestation(member: Descriptor) -> bool:
    """Whether a member is BuildKit's attestation of another one, and no image."""
    return dict(member.annotations).get(_KIND) == "attestation-manifest"


def subject(member: Descriptor) -> str | None:
    """The digest of the image that an attestation is about."""
    return dict(member.annotations).get(_SUBJECT)


def assemble(images: Sequence[ArchImage], standing: Index | None = None) -> Index:
    """The index of these images and of what stands for other platforms.

    An image takes the place of the one that stands for its platform; an attestation stays exactly as
    long as the image that it is about. The order of the images makes no difference.
    """
    added = [member for image in images for member in image.descriptors]
    fresh = {_slot(member.platform) for member in added if not is_attestation(member)}
    before = standing.manifests if standing else ()
    kept = [member for member in before if is_attestation(member) or _slot(member.platform) not in fresh]
    # One manifest may stand for several platforms.
    members = {(member.digest, _slot(member.platform)): member for member in (*kept, *added)}
    present = {digest for (digest, _), member in members.items() if not is_attestation(member)}
    chosen = (
        member for member in members.values() if not is_attestation(member) or subject(member) in present
    )
    return Index(tuple(sorted(chosen, key=_order)), standing.annotations if standing else ())


def _slot(platform: Platform | None) -> tuple[str, str, str]:
    """What makes two platforms the same; arm64 is arm64/v8."""
    if platform is None:
        return ("", "", "")
    variant = "" if (platform.architecture, platform.variant) == ("arm64", "v8") else platform.variant or ""
    return (platform.os, platform.architecture, variant)


def _order(member: Descriptor) -> tuple[bool, tuple[str, str, str], str]:
    return (is_attestation(member), _slot(member.platform), member.digest)


def platforms(index: Index) -> frozenset[str]:
    """The architectures whose images an index holds."""
    return frozenset(
        member.platform.architecture
        for member in index.manifests
        if member.platform and not is_attestation(member)
    )


def missing(index: Index, arches: Iterable[str]) -> tuple[str, ...]:
    """Those of the architectures that an index does not hold."""
    there = platforms(index)
    return tuple(arch for arch in arches if arch not in there)


def members_of(index: Index, arch: str) -> tuple[Descriptor, ...]:
    """The images of one architecture, and the attestations about them."""
    images = [
        member
        for member in index.manifests
        if member.platform and member.platform.architecture == arch and not is_attestation(member)
    ]
    digests = {image.digest for image in images}
    about = [member for member in index.manifests if is_attestation(member) and subject(member) in digests]
    return (*images, *about)


def holds(index: Index, image: ArchImage) -> bool:
    """Whether an index holds this very image, and not an earlier one of its architecture."""
    return {member.digest for member in image.descriptors} <= {member.digest for member in index.manifests}
