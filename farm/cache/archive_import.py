"""Archives of images, as `docker save`, `skopeo` and `linuxkit cache export` write them, read in one pass.

Three kinds are supported, distinguished by their content: Docker's own with uncompressed layers, which are
compressed while they are read; OCI image layouts, whose blobs are stored unchanged; and the combination that
engines from 25 on write.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from posixpath import normpath
from typing import IO, TYPE_CHECKING

from farm.cache.archive_content import HINT, NAME_KEYS, ArchiveContent
from farm.cache.bounded_tar import UNREADABLE, entries, open_tar
from farm.cache.image_content import children, is_complete, verify_layers, verify_layers_below
from farm.cache.named_images import as_oci_root, put_index
from farm.errors import CacheError, RegistryError
from farm.model import Descriptor, Reference
from farm.model.strict_json import list_of, shown, text_of
from farm.registry.index import Index
from farm.registry.oci import (
    DOCKER_MANIFEST,
    INDEXES,
    OCI_CONFIG,
    OCI_MANIFEST,
    OCI_TYPE_OF,
    ImageManifest,
    read_descriptor,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from farm.cache.blobs import Blobs


@dataclass(frozen=True, slots=True)
class LoadedImage:
    """An image or index of an archive, and its names in the archive."""

    root: Descriptor
    names: tuple[str, ...]


def load(blobs: Blobs, archive: IO[bytes]) -> list[LoadedImage]:
    """Store the blobs of an archive, without names in the cache; memory does not grow with the layers."""
    content = ArchiveContent(blobs)
    try:
        with open_tar(archive) as tar:
            for entry in entries(tar):
                if entry.issym() or entry.islnk():
                    content.add_link(entry)
                elif entry.isreg() and (file := tar.extractfile(entry)):
                    content.add_file(normpath(entry.name), file)
    except UNREADABLE as error:
        raise CacheError(f"the archive cannot be read: {error}", hint=HINT) from error
    try:
        return list(_from_layout(content) if content.is_layout else _from_docker(content))
    except RegistryError as error:
        raise CacheError(f"the archive has an unknown format: {error.message}", hint=HINT) from error
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        raise CacheError(f"the archive has an unknown format: {shown(str(error))}", hint=HINT) from error


def _from_layout(content: ArchiveContent) -> Iterator[LoadedImage]:
    blobs = content.blobs
    content.decompress_layers()
    for item in list_of(content.json("index.json")["manifests"]):
        named = read_descriptor(item)
        annotations = dict(named.annotations)
        root = _present_part(blobs, replace(named, annotations=()))
        verify_layers_below(blobs, root)
        root = as_oci_root(blobs, _with_oci_types(blobs, root))
        names = dict.fromkeys(annotations[key] for key in NAME_KEYS if key in annotations)
        yield LoadedImage(root, tuple(names))


def _present_part(blobs: Blobs, root: Descriptor) -> Descriptor:
    """The root, or an index of its complete members: an engine saves one image under the index of all."""
    if root.media_type not in INDEXES or is_complete(blobs, root):
        return root
    present = tuple(child for child in children(blobs, root) if is_complete(blobs, child))
    return put_index(blobs, Index(present)) if present else root


def _with_oci_types(blobs: Blobs, root: Descriptor) -> Descriptor:
    """A single image with Docker's media types as the same image with OCI's."""
    if root.media_type != DOCKER_MANIFEST:
        return root
    config, *layers = (
        replace(child, media_type=OCI_TYPE_OF.get(child.media_type, child.media_type))
        for child in children(blobs, root)
    )
    manifest = blobs.put(ImageManifest.body(config, layers), OCI_MANIFEST)
    return replace(manifest, platform=root.platform)


def _from_docker(content: ArchiveContent) -> Iterator[LoadedImage]:
    """The images of a manifest.json.

    https://github.com/moby/docker-image-spec/blob/main/v1.2.md#combined-image-json--filesystem-changeset-format
    """
    blobs = content.blobs
    for item in list_of(content.json("manifest.json")):
        config = blobs.put(content.documents[normpath(item["Config"])], OCI_CONFIG)
        layers = [content.layer(text_of(name)) for name in list_of(item["Layers"])]
        image = blobs.put(ImageManifest.body(config, [layer.blob for layer in layers]), OCI_MANIFEST)
        verify_layers(blobs, image, {layer.blob.digest: layer.diff_id for layer in layers if layer.diff_id})
        yield LoadedImage(image, tuple(map(text_of, item.get("RepoTags") or ())))


def names_for(loaded: Sequence[LoadedImage], name: Reference | None = None) -> dict[str, Descriptor]:
    """The names in the cache for the images of an archive: those of the archive, or one given name."""
    if name and len(loaded) != 1:
        raise CacheError(
            f"the archive holds {len(loaded)} images, and they cannot all be {name}", hint="leave out --name"
        )
    if name:
        return {str(name): loaded[0].root}
    names = {str(Reference.parse(text).or_latest()): one.root for one in loaded for text in one.names}
    if not names:
        raise CacheError("the archive has no names for its images", hint="add --name NAME:TAG")
    return names
