"""Archives of images, as `docker save`, `skopeo` and `linuxkit cache export` write them, read once.

Three kinds are understood, told apart by what is in them: Docker's own with plain layers, which are
compressed on the way in; OCI image layouts, whose blobs are kept as they are; and the mixture that
engines from 25 on write.
"""

from __future__ import annotations

import json
import tarfile
from dataclasses import dataclass, field, replace
from posixpath import normpath
from typing import IO, TYPE_CHECKING, Any

from farm.cache.blobs import LARGEST, PIECE
from farm.cache.compression import DAMAGED, GZIP, ZSTD, Packer, diff_id, plain
from farm.cache.content import complete, document, parts, reachable
from farm.cache.layout import tagged
from farm.cache.named_images import nameable
from farm.errors import CacheError
from farm.model import Descriptor, Reference
from farm.registry.index import Index
from farm.registry.media_types import DOCKER_MANIFEST, INDEXES, MANIFESTS, OCI_INDEX, OCI_MANIFEST

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from farm.cache.blobs import Blobs

OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
OCI_LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
_PLAIN_LAYER = OCI_LAYER.removesuffix("+gzip")
_ZSTD_LAYER = "application/vnd.oci.image.layer.v1.tar+zstd"
_OCI_NAMES = {
    "application/vnd.docker.container.image.v1+json": OCI_CONFIG,
    "application/vnd.docker.image.rootfs.diff.tar.gzip": OCI_LAYER,
    "application/vnd.docker.image.rootfs.diff.tar": _PLAIN_LAYER,
}
_BLOBS = "blobs/sha256/"
_NAMES = ("io.containerd.image.name", "org.opencontainers.image.ref.name")
_HEAD = 512
_MOST_DOCUMENTS = 10_000
_HINT = "is it an image that `docker save`, skopeo or `farm cache export` wrote?"


@dataclass(frozen=True, slots=True)
class Loaded:
    """An image or index that came out of an archive, and what the archive calls it."""

    root: Descriptor
    names: tuple[str, ...]


@dataclass(slots=True)
class _Archive:
    """What was seen of an archive: layers are stored as they come, documents are small and kept."""

    blobs: Blobs
    documents: dict[str, bytes] = field(default_factory=dict)
    layers: dict[str, tuple[Descriptor, str | None]] = field(default_factory=dict)
    """File name to blob, and the sha256 of the plain layer where it was compressed here."""
    links: dict[str, str] = field(default_factory=dict)

    def take(self, entry: tarfile.TarInfo, file: IO[bytes]) -> None:
        name = normpath(entry.name)
        head = file.read(_HEAD)
        if _is_tar(head):
            self._compress(name, head, file)
        elif name.startswith(_BLOBS) or head.startswith((GZIP, ZSTD)):
            self._store(name, head, file)
        elif len(self.documents) < _MOST_DOCUMENTS:
            self.documents[name] = head + file.read(LARGEST)
        else:
            raise CacheError("the archive holds too many files", hint=_HINT)

    def _compress(self, name: str, head: bytes, file: IO[bytes]) -> None:
        with self.blobs.writing() as writer:
            packer = Packer(writer)
            for piece in _pieces(head, file):
                packer.write(piece)
            packer.close()
            _check_name(name, packer.diff_id)
            self.layers[name] = (writer.keep(OCI_LAYER), packer.diff_id)

    def _store(self, name: str, head: bytes, file: IO[bytes]) -> None:
        with self.blobs.writing() as writer:
            for piece in _pieces(head, file):
                writer.write(piece)
            _check_name(name, writer.digest)
            blob = writer.keep(_ZSTD_LAYER if head.startswith(ZSTD) else OCI_LAYER)
        self.layers[name] = (blob, None)
        if not head.startswith((GZIP, ZSTD)) and blob.size <= LARGEST:
            self.documents[name] = self.blobs.read(blob)

    def restore(self) -> None:
        """Bring back the plain layers of an image layout: only its end tells that they were to stay so."""
        for packed, unpacked in self.layers.values():
            if unpacked:
                with self.blobs.writing() as writer, self.blobs.path(packed.digest).open("rb") as raw:
                    file = plain(raw)
                    while file and (piece := file.read(PIECE)):
                        writer.write(piece)
                    writer.keep(_PLAIN_LAYER, expected=unpacked)

    def layer(self, name: str) -> tuple[Descriptor, str | None]:
        name = normpath(name)
        name = self.links.get(name, name)
        if name not in self.layers:
            raise CacheError(f"the archive names the layer {name}, and does not hold it", hint=_HINT)
        return self.layers[name]

    def json(self, name: str) -> Any:
        try:
            return json.loads(self.documents[normpath(name)])
        except KeyError as error:
            raise CacheError(f"the archive holds no {name}", hint=_HINT) from error
        except ValueError as error:
            raise CacheError(f"the archive's {name} is no JSON: {error}", hint=_HINT) from error


def load(blobs: Blobs, archive: IO[bytes]) -> list[Loaded]:
    """Store the blobs of an archive; nothing has a name in the cache yet. Memory does not grow with layers.

    Raises:
        CacheError: it is no archive of images, cut off, or damaged.
    """
    seen = _Archive(blobs)
    try:
        with tarfile.open(fileobj=archive, mode="r|", bufsize=PIECE) as tar:
            for entry in tar:
                if entry.issym() or entry.islnk():
                    name, target = normpath(entry.name), entry.linkname
                    below = f"{name.rpartition('/')[0]}/{target}" if entry.issym() else target
                    seen.links[name] = normpath(below)
                elif entry.isreg() and (file := tar.extractfile(entry)):
                    seen.take(entry, file)
    except (tarfile.TarError, EOFError) as error:
        raise CacheError(f"the archive cannot be read: {error}", hint=_HINT) from error
    try:
        recompressed = any(unpacked for _, unpacked in seen.layers.values())
        if "index.json" in seen.documents and not (recompressed and "manifest.json" in seen.documents):
            return list(_from_layout(seen))
        return list(_from_docker(seen))
    except (KeyError, TypeError, AttributeError) as error:
        raise CacheError(f"the archive cannot be understood: {error!r}", hint=_HINT) from error


def _from_layout(seen: _Archive) -> Iterator[Loaded]:
    seen.restore()
    for item in seen.json("index.json")["manifests"]:
        named = Descriptor.from_json(item)
        notes = dict(named.annotations)
        root = _whole(seen.blobs, Descriptor(named.media_type, named.digest, named.size, named.platform))
        check_diff_ids(seen.blobs, root)
        root = nameable(seen.blobs, _in_oci_terms(seen.blobs, root))
        yield Loaded(root, tuple(dict.fromkeys(notes[key] for key in _NAMES if key in notes)))


def _whole(blobs: Blobs, root: Descriptor) -> Descriptor:
    """The root, or an index of what the archive holds of it: an engine saves one image and names all."""
    if root.media_type not in INDEXES or complete(blobs, root):
        return root
    there = tuple(part for part in parts(blobs, root) if complete(blobs, part))
    return blobs.put(Index(there).body(), OCI_INDEX) if there else root


def _in_oci_terms(blobs: Blobs, root: Descriptor) -> Descriptor:
    """A single image whose manifest is of Docker's types as the same image with one of OCI's."""
    if root.media_type != DOCKER_MANIFEST:
        return root
    config, *layers = (
        {**part.to_json(), "mediaType": _OCI_NAMES.get(part.media_type, part.media_type)}
        for part in parts(blobs, root)
    )
    return replace(_put_manifest(blobs, config, layers), platform=root.platform)


def _put_manifest(blobs: Blobs, config: dict[str, Any], layers: list[dict[str, Any]]) -> Descriptor:
    manifest = {"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": config, "layers": layers}
    return blobs.put(json.dumps(manifest, separators=(",", ":")).encode(), OCI_MANIFEST)


def _from_docker(seen: _Archive) -> Iterator[Loaded]:
    for item in seen.json("manifest.json"):
        config = seen.blobs.put(seen.documents[normpath(item["Config"])], OCI_CONFIG)
        layers = [seen.layer(name) for name in item["Layers"]]
        image = _put_manifest(seen.blobs, config.to_json(), [blob.to_json() for blob, _ in layers])
        _check_layers(seen.blobs, image, {blob.digest: unpacked for blob, unpacked in layers if unpacked})
        yield Loaded(image, tuple(item.get("RepoTags") or ()))


def check_diff_ids(blobs: Blobs, root: Descriptor) -> None:
    """Unpack the layers of every image below a root that is here, and compare them with its configuration.

    Raises:
        CacheError: a layer is not what the configuration names.
    """
    for one in reachable(blobs, root):
        if one.media_type in MANIFESTS and complete(blobs, one):
            _check_layers(blobs, one, {})


def _check_layers(blobs: Blobs, image: Descriptor, known: dict[str, str]) -> None:
    config, *layers = parts(blobs, image)
    if not all(".tar" in layer.media_type for layer in layers):
        return  # an attestation or another artifact: its layers are no file systems
    promised = document(blobs, config)["rootfs"]["diff_ids"]
    if len(promised) != len(layers):
        raise CacheError(f"the image {image.digest} has {len(layers)} layers and names {len(promised)}")
    for layer, wanted in zip(layers, promised, strict=True):
        found = known.get(layer.digest) or layer_id(blobs, layer)
        if found not in (None, wanted):
            raise CacheError(f"the layer {layer.digest} unpacks to {found}, and its image names {wanted}")


def layer_id(blobs: Blobs, layer: Descriptor) -> str | None:
    """sha256:... of a layer's plain bytes; None for a compression that is not understood here.

    Raises:
        CacheError: it is damaged, or not there.
    """
    try:
        return diff_id(blobs.path(layer.digest))
    except (OSError, *DAMAGED) as error:
        raise CacheError(f"the layer {layer.digest} cannot be unpacked: {error}") from error


def _is_tar(head: bytes) -> bool:
    return head[257:262] == b"ustar" or (len(head) == _HEAD and not any(head))


def _pieces(head: bytes, file: IO[bytes]) -> Iterator[bytes]:
    yield head
    while piece := file.read(PIECE):
        yield piece


def _check_name(name: str, digest: str) -> None:
    if name.startswith(_BLOBS) and name != f"{_BLOBS}{digest.removeprefix('sha256:')}":
        raise CacheError(f"the archive's {name} hashes to {digest}", hint="the archive is damaged")


def named(loaded: Sequence[Loaded], name: Reference | None = None) -> dict[str, Descriptor]:
    """What the images of an archive are to be called in the cache: as the archive says, or by one name.

    Raises:
        CacheError: the archive names no image, or holds several that were to have one name.
    """
    if name and len(loaded) != 1:
        raise CacheError(f"the archive holds {len(loaded)} images, and they cannot all be {name}")
    if name:
        return {str(name): loaded[0].root}
    names = {str(tagged(Reference.parse(text))): one.root for one in loaded for text in one.names}
    if not names:
        raise CacheError("the archive does not say what its images are called", hint="add --name NAME:TAG")
    return names
