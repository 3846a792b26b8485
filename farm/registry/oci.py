"""OCI documents: media types, descriptors, manifests, platforms.

Docker's types (schema 2) have the same fields as OCI's: https://distribution.github.io/distribution/spec/manifest-v2-2/
"""

from __future__ import annotations

import json
import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from farm.errors import RegistryError
from farm.model import Descriptor, Platform
from farm.model.strict_json import fields_of, json_object, list_of, shown, text_of, texts_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from farm.model import Reference

# https://github.com/opencontainers/image-spec/blob/main/media-types.md
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
OCI_LAYER_TAR = "application/vnd.oci.image.layer.v1.tar"
OCI_LAYER = f"{OCI_LAYER_TAR}+gzip"
OCI_LAYER_ZSTD = f"{OCI_LAYER_TAR}+zstd"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"
OCI_TYPE_OF = {
    DOCKER_LIST: OCI_INDEX,
    DOCKER_MANIFEST: OCI_MANIFEST,
    DOCKER_CONFIG: OCI_CONFIG,
    DOCKER_LAYER: OCI_LAYER,
    "application/vnd.docker.image.rootfs.diff.tar": OCI_LAYER_TAR,
}
"""Docker's media types to OCI's."""

INDEXES = (OCI_INDEX, DOCKER_LIST)
MANIFESTS = (OCI_MANIFEST, DOCKER_MANIFEST)

# All four, always: registry 2.8 answers 404 for an OCI tag to a client that does not accept its type.
ACCEPT = {"Accept": ", ".join((*INDEXES, *MANIFESTS))}

_OF_INDEX, _OF_IMAGE = {"manifests"}, {"config", "layers"}
"""Fields that only an index has, and only the manifest of an image."""
_DIGEST = re.compile(r"[a-z0-9]+(?:[.+_-][a-z0-9]+)*:[a-zA-Z0-9=_-]+")
_LONGEST_DIGEST = 255
_MEDIA_TYPE = re.compile(r"[ -~]{0,255}")
_LARGEST_SIZE = (1 << 63) - 1
"""Bytes: sizes are signed 64-bit numbers in other programs."""


def is_digest(text: str) -> bool:
    """Whether a text has the form of a digest."""
    return len(text) <= _LONGEST_DIGEST and bool(_DIGEST.fullmatch(text))


def manifest_type(sent_as: str, body: bytes) -> str:
    """The media type of a manifest or index: what it says itself, else what it is sent as, else its fields.

    The field and the header must agree, but proxies and static file servers change the header.
    https://github.com/opencontainers/image-spec/blob/main/manifest.md#image-manifest-property-descriptions

    Raises:
        RegistryError: the body is no manifest, or could be read as two kinds of it.
    """
    try:
        data = json_object(body, "mediaType", *_OF_INDEX, *_OF_IMAGE)
    except ValueError as error:
        if body.lstrip().startswith(b"{"):
            raise RegistryError(f"invalid manifest: {error}") from error
        data = {}
    is_index, is_image = (bool(data.keys() & fields) for fields in (_OF_INDEX, _OF_IMAGE))
    if is_index and is_image:
        # https://github.com/opencontainers/image-spec/security/advisories/GHSA-77vh-xpmg-72qh
        raise RegistryError("ambiguous manifest: it has the fields of an index and of an image")
    with reading("manifest"):
        own = data.get("mediaType")
        if own is not None and _media_type(own):
            return str(own)
    if sent_as.startswith("application/vnd."):
        return sent_as
    if not is_index and not is_image:
        raise RegistryError(
            f"the answer is not a manifest, but {sent_as or 'of no media type'}",
            hint="is it a registry, and does no login page or proxy answer in its place?",
        )
    return OCI_INDEX if is_index else OCI_MANIFEST


class ImageManifest(NamedTuple):
    """The manifest of one image.

    https://github.com/opencontainers/image-spec/blob/main/manifest.md#image-manifest-property-descriptions
    """

    config: Descriptor | None
    """Required by the specification, and not present in every artifact."""
    layers: tuple[Descriptor, ...]
    foreign: frozenset[str] = frozenset()
    """Digests of layers with URLs: those are downloaded from there, and neither stored nor pushed.

    https://github.com/opencontainers/image-spec/blob/main/layer.md#non-distributable-layers
    """

    @staticmethod
    def parse(body: bytes) -> ImageManifest:
        """Read a manifest; RegistryError if the bytes are none."""
        with reading("manifest"):
            data = json_object(body, *_OF_IMAGE)
            layers = list_of([] if data.get("layers") is None else data["layers"])
            return ImageManifest(
                config=read_descriptor(data["config"]) if data.get("config") else None,
                layers=read_descriptors(layers),
                foreign=frozenset(
                    layer["digest"] for layer in layers if fields_of(layer, "urls").get("urls")
                ),
            )

    @property
    def stored(self) -> tuple[Descriptor, ...]:
        """The configuration and the layers, which must be in the same repository."""
        if self.config is None:
            raise RegistryError("invalid manifest: it has no configuration")
        return (self.config, *(layer for layer in self.layers if layer.digest not in self.foreign))

    @staticmethod
    def body(config: Descriptor, layers: Sequence[Descriptor], media_type: str = OCI_MANIFEST) -> bytes:
        """The manifest of an image as it is stored: the same parts give the same bytes."""
        data = {
            "schemaVersion": 2,
            "mediaType": media_type,
            "config": config.to_json(),
            "layers": [layer.to_json() for layer in layers],
        }
        return json.dumps(data, separators=(",", ":")).encode()


def read_descriptor(data: Any) -> Descriptor:
    """Check and read a descriptor: https://github.com/opencontainers/image-spec/blob/main/descriptor.md#properties.

    Raises:
        ValueError, KeyError: it is none; see `reading`.
    """
    fields_of(data, "mediaType", "digest", "size", "platform", "annotations")
    _media_type(data["mediaType"])
    digest, size = text_of(data["digest"]), data["size"]
    if not is_digest(digest):
        raise ValueError(f"invalid digest {shown(digest)}")
    if type(size) is not int or not 0 <= size <= _LARGEST_SIZE:
        raise ValueError(f"invalid size {shown(size)}")
    if data.get("platform") not in (None, {}):
        _platform(data["platform"])
    texts_of(data.get("annotations"))
    return Descriptor.from_json(data)


def _media_type(value: Any) -> str:
    if not _MEDIA_TYPE.fullmatch(text_of(value)):
        raise ValueError(f"invalid media type {shown(value)}")
    return str(value)


def _platform(data: Any) -> Platform:
    """Check and read a platform, or the configuration of an image, which has the same fields."""
    fields_of(data, "architecture", "os", "variant")
    for value in (data["architecture"], data["os"], data.get("variant")):
        text_of("" if value is None else value)
    return Platform.from_json(data)


def read_descriptors(value: Any) -> tuple[Descriptor, ...]:
    """The descriptors in a field that must be a list; see `reading`."""
    return tuple(read_descriptor(item) for item in list_of(value))


def read_platform(config: bytes) -> Platform:
    """The platform in an image's configuration: https://github.com/opencontainers/image-spec/blob/main/config.md."""
    with reading("image configuration"):
        return _platform(json_object(config))


@contextmanager
def reading(what: str) -> Iterator[None]:
    """Report an unexpected field of a document as an invalid document."""
    try:
        yield
    except KeyError as error:
        raise RegistryError(f"invalid {what}: no field {error}") from error
    except ValueError as error:
        raise RegistryError(f"invalid {what}: {error}") from error


@contextmanager
def naming(reference: Reference) -> Iterator[None]:
    """Let an error about what a reference refers to name the reference."""
    try:
        yield
    except RegistryError as error:
        if reference.familiar in error.message:
            raise
        raise type(error)(f"{reference.familiar}: {error.message}", hint=error.hint) from error
