"""The files of an image as one tar, its layers applied in order, as `linuxkit cache export` writes it.

https://github.com/opencontainers/image-spec/blob/main/layer.md#applying-changesets
"""

from __future__ import annotations

import tarfile
from dataclasses import dataclass, field
from posixpath import dirname, normpath
from typing import IO, TYPE_CHECKING

from farm.cache.blobs import PIECE
from farm.cache.bounded_tar import UNREADABLE, entries, open_tar
from farm.cache.image_content import children
from farm.errors import CacheError
from farm.registry.compression import DAMAGED, open_uncompressed

if TYPE_CHECKING:
    from farm.cache.blobs import Blobs
    from farm.model import Descriptor

# https://github.com/opencontainers/image-spec/blob/main/layer.md#whiteouts
_WHITEOUT = ".wh."
_OPAQUE_WHITEOUT = ".wh..wh..opq"


def flatten(blobs: Blobs, image: Descriptor, into: IO[bytes]) -> None:
    """Write the files of an image; memory grows with their number, not with their size."""
    _, *layers = children(blobs, image)
    try:
        with tarfile.open(fileobj=into, mode="w|", bufsize=PIECE) as tar:
            files = _Files(tar)
            # From the top: a tar cannot take back an entry that a higher layer hides.
            for layer in reversed(layers):
                files.add_layer(blobs, layer)
    except (*UNREADABLE, *DAMAGED) as error:
        raise CacheError(f"a layer of {image.digest} cannot be read: {error}") from error


@dataclass(slots=True)
class _Files:
    """The files of the layers so far."""

    into: tarfile.TarFile
    above: dict[str, bool] = field(default_factory=dict)
    """Paths in the layers above, and whether each hides everything below it in the layers below."""

    def add_layer(self, blobs: Blobs, layer: Descriptor) -> None:
        """Write the entries of a layer that the layers above neither replace nor hide."""
        own: dict[str, bool] = {}
        with blobs.path(layer.digest).open("rb") as raw:
            file = open_uncompressed(raw)
            if file is None:
                raise CacheError(f"the layer {layer.digest} is compressed with zstd", hint="export it as oci")
            with open_tar(file) as tar:
                for entry in entries(tar):
                    self._add(tar, entry, own)
        for path, hides in own.items():
            self.above[path] = self.above.get(path, False) or hides

    def _add(self, tar: tarfile.TarFile, entry: tarfile.TarInfo, own: dict[str, bool]) -> None:
        path = normpath(entry.name).lstrip("/")
        folder, name = dirname(path), path.rpartition("/")[2]
        if name == _OPAQUE_WHITEOUT:
            own[folder] = True
            return
        if name.startswith(_WHITEOUT):
            own[f"{folder}/{name.removeprefix(_WHITEOUT)}".lstrip("/")] = True
            return
        if path in self.above or self._is_hidden(path):
            return
        own[path] = own.get(path, False) or not entry.isdir()
        self.into.addfile(entry, tar.extractfile(entry) if entry.isreg() else None)
        self.into.members = []  # type: ignore[attr-defined]

    def _is_hidden(self, path: str) -> bool:
        """Whether a layer above hides everything in a directory that contains this path."""
        while path := dirname(path):
            if self.above.get(path):
                return True
        return False
