"""The content of an archive of images: layers are stored while they are read, documents kept in memory."""

from __future__ import annotations

from dataclasses import dataclass, field
from posixpath import normpath
from typing import IO, TYPE_CHECKING, Any

from farm.cache.blobs import LARGEST, PIECE
from farm.cache.layout import NAME
from farm.errors import CacheError
from farm.model import hex_of
from farm.model.strict_json import parse_json
from farm.registry.compression import GZIP, ZSTD, LayerCompressor, open_uncompressed
from farm.registry.oci import OCI_LAYER, OCI_LAYER_TAR, OCI_LAYER_ZSTD

if TYPE_CHECKING:
    import tarfile
    from collections.abc import Iterator

    from farm.cache.blobs import Blobs
    from farm.model import Descriptor

HINT = "is it an image that `docker save`, skopeo or `farm cache export` wrote?"
NAME_KEYS = ("io.containerd.image.name", NAME)
"""The annotations of containerd and OCI with an image's name: tools read the one or the other."""
_BLOBS = "blobs/sha256/"
_HEAD = 512
_MOST_FILES = 100_000
_ALL_DOCUMENTS = 64 << 20
"""Bytes of all documents, which are kept in memory."""


@dataclass(frozen=True, slots=True)
class StoredLayer:
    """A layer of an archive in the cache."""

    blob: Descriptor
    diff_id: str | None = None
    """The digest of the uncompressed layer, if it was compressed here."""


@dataclass(slots=True)
class ArchiveContent:
    """The files of an archive so far."""

    blobs: Blobs
    documents: dict[str, bytes] = field(default_factory=dict)
    """Small files by name: JSON."""
    layers: dict[str, StoredLayer] = field(default_factory=dict)
    """All other files by name; in an image layout, manifests and configurations as well."""
    links: dict[str, str] = field(default_factory=dict)
    """Name of a link to the name of its target."""
    kept: int = 0
    """Bytes of the documents."""

    @property
    def is_layout(self) -> bool:
        """Whether to read it as an image layout.

        Engines from 25 on write a manifest.json as well, and layers uncompressed: those are kept compressed.
        """
        compressed = any(layer.diff_id for layer in self.layers.values())
        return "index.json" in self.documents and not (compressed and "manifest.json" in self.documents)

    def add_link(self, entry: tarfile.TarInfo) -> None:
        """Remember a symbolic link, which is relative to its directory, or a hard link."""
        name = normpath(entry.name)
        target = f"{name.rpartition('/')[0]}/{entry.linkname}" if entry.issym() else entry.linkname
        self.links[name] = normpath(target)
        self._refuse_too_much()

    def add_file(self, name: str, file: IO[bytes]) -> None:
        """Store a layer or blob, or keep a document."""
        head = file.read(_HEAD)
        if _is_tar(head):
            self._compress(name, head, file)
        elif name.startswith(_BLOBS) or head.startswith((GZIP, ZSTD)):
            self._store(name, head, file)
        else:
            self._keep(name, head + file.read(LARGEST))
        self._refuse_too_much()

    def _keep(self, name: str, document: bytes) -> None:
        self.kept += len(document)
        self.documents[name] = document

    def _refuse_too_much(self) -> None:
        files = len(self.documents) + len(self.layers) + len(self.links)
        if files > _MOST_FILES or self.kept > _ALL_DOCUMENTS:
            raise CacheError("the archive holds too many files", hint=HINT)

    def _compress(self, name: str, head: bytes, file: IO[bytes]) -> None:
        with self.blobs.writing() as writer:
            compressor = LayerCompressor(writer)
            for piece in _pieces(head, file):
                compressor.write(piece)
            compressor.close()
            _check_name(name, compressor.diff_id)
            self.layers[name] = StoredLayer(writer.commit(OCI_LAYER), compressor.diff_id)

    def _store(self, name: str, head: bytes, file: IO[bytes]) -> None:
        with self.blobs.writing() as writer:
            for piece in _pieces(head, file):
                writer.write(piece)
            _check_name(name, writer.digest)
            blob = writer.commit(OCI_LAYER_ZSTD if head.startswith(ZSTD) else OCI_LAYER)
        self.layers[name] = StoredLayer(blob)
        if not head.startswith((GZIP, ZSTD)) and blob.size <= LARGEST:
            self._keep(name, self.blobs.read(blob))

    def decompress_layers(self) -> None:
        """Store the uncompressed layers of an image layout, too: only its end shows that it is one."""
        for layer in self.layers.values():
            if layer.diff_id:
                with self.blobs.writing() as writer, self.blobs.path(layer.blob.digest).open("rb") as raw:
                    file = open_uncompressed(raw)
                    while file and (piece := file.read(PIECE)):
                        writer.write(piece)
                    writer.commit(OCI_LAYER_TAR, expected=layer.diff_id)

    def layer(self, name: str) -> StoredLayer:
        """A layer by the name of its file, or of a link to that."""
        name = normpath(name)
        name = self.links.get(name, name)
        if name not in self.layers:
            raise CacheError(f"the archive refers to the layer {name} but does not contain it", hint=HINT)
        return self.layers[name]

    def json(self, name: str) -> Any:
        """A document."""
        try:
            return parse_json(self.documents[normpath(name)])
        except KeyError as error:
            raise CacheError(f"the archive has no {name}", hint=HINT) from error
        except ValueError as error:
            raise CacheError(f"{name} of the archive is not valid JSON: {error}", hint=HINT) from error


def _is_tar(head: bytes) -> bool:
    """Whether a file starts with a tar header, or is a tar without entries.

    https://pubs.opengroup.org/onlinepubs/9799919799/utilities/pax.html#tag_20_94_13_06
    """
    return head[257:262] == b"ustar" or (len(head) == _HEAD and not any(head))


def _pieces(head: bytes, file: IO[bytes]) -> Iterator[bytes]:
    yield head
    while piece := file.read(PIECE):
        yield piece


def _check_name(name: str, digest: str) -> None:
    if name.startswith(_BLOBS) and name != f"{_BLOBS}{hex_of(digest)}":
        raise CacheError(
            f"{name} of the archive: digest mismatch: got {digest}", hint="the archive is damaged"
        )
