"""OCI documents and addresses: media types, descriptors, what a manifest or index refers to, paths, scopes.

Docker's types (schema 2) have the same fields as OCI's: https://distribution.github.io/distribution/spec/manifest-v2-2/
"""

from __future__ import annotations

import json
import re
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from farm.errors import RegistryError
from farm.model import Descriptor, Platform

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
OCI_TYPE_OF = {
    DOCKER_LIST: OCI_INDEX,
    DOCKER_MANIFEST: OCI_MANIFEST,
    "application/vnd.docker.container.image.v1+json": OCI_CONFIG,
    "application/vnd.docker.image.rootfs.diff.tar.gzip": OCI_LAYER,
    "application/vnd.docker.image.rootfs.diff.tar": OCI_LAYER_TAR,
}
"""Docker's media types to OCI's."""

INDEXES = (OCI_INDEX, DOCKER_LIST)
MANIFESTS = (OCI_MANIFEST, DOCKER_MANIFEST)

# All four, always: registry 2.8 answers 404 for an OCI tag to a client that does not accept its type.
ACCEPT = {"Accept": ", ".join((*INDEXES, *MANIFESTS))}

_DIGEST = re.compile(r"[a-z0-9]+(?:[.+_-][a-z0-9]+)*:[a-zA-Z0-9=_-]+")


@dataclass(frozen=True, slots=True)
class ImageManifest:
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
        """Read a manifest.

        Raises:
            RegistryError: the bytes are not a manifest.
        """
        with _reading("manifest"):
            data = json.loads(body)
            layers = _list(data.get("layers") or [])
            return ImageManifest(
                config=read_descriptor(data["config"]) if data.get("config") else None,
                layers=tuple(read_descriptor(layer) for layer in layers),
                foreign=frozenset(layer["digest"] for layer in layers if layer.get("urls")),
            )

    @property
    def stored(self) -> tuple[Descriptor, ...]:
        """The configuration and the layers, which must be in the same repository.

        Raises:
            RegistryError: there is no configuration.
        """
        if self.config is None:
            raise RegistryError("invalid manifest: it has no configuration")
        return (self.config, *(layer for layer in self.layers if layer.digest not in self.foreign))

    @staticmethod
    def body(config: Descriptor, layers: Sequence[Descriptor]) -> bytes:
        """The OCI manifest of an image as it is stored: the same parts give the same bytes."""
        data = {
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "config": config.to_json(),
            "layers": [layer.to_json() for layer in layers],
        }
        return json.dumps(data, separators=(",", ":")).encode()


def read_index(body: bytes) -> tuple[tuple[Descriptor, ...], tuple[tuple[str, str], ...]]:
    """The members and the annotations of an index.

    https://github.com/opencontainers/image-spec/blob/main/image-index.md#image-index-property-descriptions

    Raises:
        RegistryError: the bytes are neither an OCI index nor a Docker manifest list.
    """
    with _reading("index"):
        data = json.loads(body)
        members = tuple(read_descriptor(item) for item in _list(data["manifests"]))
        return members, tuple(sorted((data.get("annotations") or {}).items()))


def children(media_type: str, body: bytes) -> tuple[Descriptor, ...]:
    """What a manifest or index refers to and what is stored with it.

    Raises:
        RegistryError: the media type is neither, or the bytes are not what it says.
    """
    if media_type in INDEXES:
        return read_index(body)[0]
    if media_type in MANIFESTS:
        return ImageManifest.parse(body).stored
    raise RegistryError(f"unsupported media type {media_type}: neither an image nor an index")


def read_descriptor(data: Any) -> Descriptor:
    """Check and read a descriptor.

    https://github.com/opencontainers/image-spec/blob/main/descriptor.md#properties

    Raises:
        ValueError, KeyError, TypeError, AttributeError: it is none; the caller knows of what it is a part.
    """
    descriptor = Descriptor.from_json(data)
    valid = (
        isinstance(descriptor.media_type, str)
        and isinstance(descriptor.digest, str)
        and _DIGEST.fullmatch(descriptor.digest)
        and type(descriptor.size) is int
        and descriptor.size >= 0
    )
    if not valid:
        raise ValueError(f"invalid descriptor {data!r}")
    return descriptor


def read_platform(config: bytes) -> Platform:
    """The platform in an image's configuration.

    https://github.com/opencontainers/image-spec/blob/main/config.md#properties

    Raises:
        RegistryError: it names none.
    """
    with _reading("image configuration"):
        return Platform.from_json({"variant": None, **json.loads(config)})


@contextmanager
def _reading(what: str) -> Iterator[None]:
    try:
        yield
    except KeyError as error:
        raise RegistryError(f"invalid {what}: no field {error}") from error
    except (ValueError, TypeError, AttributeError) as error:
        raise RegistryError(f"invalid {what}: {error}") from error


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise TypeError(f"{value!r} is not a list")
    return value


def manifest_path(reference: Reference) -> str:
    """Where a registry has the manifest or index of a tag or digest.

    https://github.com/opencontainers/distribution-spec/blob/main/spec.md#endpoints
    """
    return f"/v2/{reference.repository}/manifests/{reference.digest or reference.tag or 'latest'}"


def blob_path(reference: Reference, digest: str) -> str:
    """Where a registry has a blob."""
    return f"/v2/{reference.repository}/blobs/{digest}"


def uploads_path(reference: Reference) -> str:
    """Where the upload of a blob starts."""
    return f"/v2/{reference.repository}/blobs/uploads/"


def pull_scope(repository: str) -> str:
    """What a token must allow for a download: https://distribution.github.io/distribution/spec/auth/scope/."""
    return f"repository:{repository}:pull"


def push_scope(repository: str) -> str:
    """What a token must allow for an upload, which begins with a look-up."""
    return f"repository:{repository}:pull,push"
