"""The multi-architecture index, and what an index or manifest refers to: pure functions over descriptors.

The media type of an index follows its members, as with `docker buildx imagetools create`: it is Docker's
manifest list if all of them have Docker's type, else an OCI index. Some registries refuse an index of one
kind that lists manifests of the other. A mixed one remains where workers have different image stores: a
manifest is never converted, because that changes its digest, which its attestations, its architecture tag
and the records of builds name.

https://github.com/opencontainers/image-spec/blob/main/image-index.md#image-index-property-descriptions
https://distribution.github.io/distribution/spec/manifest-v2-2/#manifest-list
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

from farm.errors import RegistryError
from farm.model import Descriptor, digest_of
from farm.model.strict_json import json_object, texts_of
from farm.registry.oci import (
    DOCKER_LIST,
    DOCKER_MANIFEST,
    INDEXES,
    MANIFESTS,
    OCI_INDEX,
    ImageManifest,
    read_descriptors,
    reading,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from farm.model import ArchImage, Platform

# https://docs.docker.com/build/metadata/attestations/attestation-storage/
_KIND = "vnd.docker.reference.type"
_SUBJECT = "vnd.docker.reference.digest"
BUILDKIT_ANNOTATIONS = (_KIND, _SUBJECT)
"""The annotations of a member that is BuildKit's attestation."""


class Index(NamedTuple):
    """An OCI image index or Docker manifest list: its members, and annotations of its own."""

    manifests: tuple[Descriptor, ...]
    annotations: tuple[tuple[str, str], ...] = ()

    @staticmethod
    def parse(body: bytes) -> Index:
        """Read an OCI index or a Docker manifest list; RegistryError if the bytes are neither."""
        # https://github.com/opencontainers/image-spec/blob/main/image-index.md#image-index-property-descriptions
        with reading("index"):
            data = json_object(body, "manifests", "annotations")
            annotations = texts_of(data.get("annotations"))
            return Index(read_descriptors(data["manifests"]), tuple(sorted(annotations.items())))

    @property
    def of_docker(self) -> tuple[Descriptor, ...]:
        """The members of Docker's media type."""
        return tuple(member for member in self.manifests if member.media_type == DOCKER_MANIFEST)

    @property
    def is_mixed(self) -> bool:
        """Whether some members, and not all, have Docker's media type."""
        return 0 < len(self.of_docker) < len(self.manifests)

    @property
    def media_type(self) -> str:
        """Docker's type if all members have it, and nothing is there that only an OCI index can hold."""
        docker = self.of_docker and not self.is_mixed and not self.annotations
        return DOCKER_LIST if docker else OCI_INDEX

    def body(self, media_type: str = "") -> bytes:
        """The index as it is stored, of its own or another type: the same members give the same bytes."""
        data: dict[str, Any] = {
            "schemaVersion": 2,
            "mediaType": media_type or self.media_type,
            "manifests": [member.to_json() for member in self.manifests],
        }
        if self.annotations:
            data["annotations"] = dict(self.annotations)
        return json.dumps(data, separators=(",", ":"), ensure_ascii=False).encode()

    def descriptor(self) -> Descriptor:
        """The descriptor of the index."""
        body = self.body()
        return Descriptor(self.media_type, digest_of(body), len(body))


def children(media_type: str, body: bytes) -> tuple[Descriptor, ...]:
    """What a manifest or index refers to and what is stored with it; RegistryError for anything else."""
    if media_type in INDEXES:
        return Index.parse(body).manifests
    if media_type in MANIFESTS:
        return ImageManifest.parse(body).stored
    raise RegistryError(f"unsupported media type {media_type}: neither an image nor an index")


def is_attestation(member: Descriptor) -> bool:
    """Whether a member is BuildKit's attestation of another one, and not an image."""
    return dict(member.annotations).get(_KIND) == "attestation-manifest"


def without_attestations(image: ArchImage) -> tuple[Descriptor, ...]:
    """The descriptors of an image, but for BuildKit's attestations."""
    return tuple(one for one in image.descriptors if not is_attestation(one))


def subject(member: Descriptor) -> str | None:
    """The digest of the image that an attestation is about."""
    return dict(member.annotations).get(_SUBJECT)


def assemble(images: Sequence[ArchImage], published: Index | None = None) -> Index:
    """The index of these images and of the published ones for other platforms.

    An image replaces the published one for its platform; an attestation is kept exactly as long as the
    image that it is about. The order of the images makes no difference.
    """
    added = [member for image in images for member in image.descriptors]
    replaced = {_slot(member.platform) for member in added if not is_attestation(member)}
    before = published.manifests if published else ()
    kept = [member for member in before if is_attestation(member) or _slot(member.platform) not in replaced]
    # One manifest may be listed for several platforms.
    members = {(member.digest, _slot(member.platform)): member for member in (*kept, *added)}
    present = {digest for (digest, _), member in members.items() if not is_attestation(member)}
    chosen = (
        member for member in members.values() if not is_attestation(member) or subject(member) in present
    )
    return Index(tuple(sorted(chosen, key=_order)), published.annotations if published else ())


def _slot(platform: Platform | None) -> tuple[str, str, str]:
    """What makes two platforms the same; arm64 is arm64/v8."""
    if platform is None:
        return ("", "", "")
    variant = "" if (platform.architecture, platform.variant) == ("arm64", "v8") else platform.variant or ""
    return (platform.os, platform.architecture, variant)


def _order(member: Descriptor) -> tuple[bool, tuple[str, str, str], str]:
    return (is_attestation(member), _slot(member.platform), member.digest)


def platforms(index: Index) -> frozenset[str]:
    """The architectures that an index has images for."""
    return frozenset(arch for arch, _ in _images(index))


def _images(index: Index) -> Iterator[tuple[str, Descriptor]]:
    """The images of known platforms, each after its architecture."""
    for member in index.manifests:
        if member.platform and not is_attestation(member):
            yield member.platform.architecture, member


def missing(index: Index, arches: Iterable[str]) -> tuple[str, ...]:
    """The architectures that an index has no image for."""
    present = platforms(index)
    return tuple(arch for arch in arches if arch not in present)


def members_of(index: Index, arch: str) -> tuple[Descriptor, ...]:
    """The images of one architecture, and the attestations about them."""
    images = [member for one, member in _images(index) if one == arch]
    digests = {image.digest for image in images}
    about = [member for member in index.manifests if is_attestation(member) and subject(member) in digests]
    return (*images, *about)


def holds(index: Index, image: ArchImage) -> bool:
    """Whether an index has exactly this image, and not an earlier one of its architecture."""
    return {member.digest for member in image.descriptors} <= {member.digest for member in index.manifests}
