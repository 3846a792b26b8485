"""An image's files as one tar, its layers laid on one another, as `linuxkit cache export` writes them."""

from __future__ import annotations

import tarfile
from posixpath import dirname, normpath
from typing import IO, TYPE_CHECKING

from farm.cache.blobs import PIECE
from farm.cache.compression import DAMAGED, plain
from farm.cache.content import parts
from farm.errors import CacheError

if TYPE_CHECKING:
    from farm.cache.blobs import Blobs
    from farm.model import Descriptor

_GONE = ".wh."
_OPAQUE = ".wh..wh..opq"


def flatten(blobs: Blobs, image: Descriptor, into: IO[bytes]) -> None:
    """Write the files of an image; memory grows with their number, not with their size.

    Raises:
        CacheError: a layer is not there, damaged, or compressed in a way that is not understood here.
    """
    _, *layers = parts(blobs, image)
    seen: dict[str, bool] = {}
    try:
        with tarfile.open(fileobj=into, mode="w|", bufsize=PIECE) as tar:
            for layer in reversed(layers):
                _lay_below(blobs, layer, tar, seen)
    except (tarfile.TarError, *DAMAGED) as error:
        raise CacheError(f"a layer of {image.digest} cannot be read: {error}") from error


def _lay_below(blobs: Blobs, layer: Descriptor, into: tarfile.TarFile, seen: dict[str, bool]) -> None:
    """Write what the layers above neither hold nor hide; `seen` says whether all below a path is hidden."""
    own: dict[str, bool] = {}
    with blobs.path(layer.digest).open("rb") as raw:
        file = plain(raw)
        if file is None:
            raise CacheError(f"the layer {layer.digest} is compressed with zstd", hint="export it as oci")
        with tarfile.open(fileobj=file, mode="r|", bufsize=PIECE) as tar:
            for entry in tar:
                _one(tar, entry, into, seen, own)
                tar.members = []  # type: ignore[attr-defined]  # tarfile would keep every header of the layer
    for path, hides in own.items():
        seen[path] = seen.get(path, False) or hides


def _one(
    tar: tarfile.TarFile,
    entry: tarfile.TarInfo,
    into: tarfile.TarFile,
    seen: dict[str, bool],
    own: dict[str, bool],
) -> None:
    path = normpath(entry.name).lstrip("/")
    folder, name = dirname(path), path.rpartition("/")[2]
    if name == _OPAQUE:
        own[folder] = True
        return
    if name.startswith(_GONE):
        own[f"{folder}/{name.removeprefix(_GONE)}".lstrip("/")] = True
        return
    if path in seen or _hidden(path, seen):
        return
    own[path] = own.get(path, False) or not entry.isdir()
    into.addfile(entry, tar.extractfile(entry) if entry.isreg() else None)
    into.members = []  # type: ignore[attr-defined]


def _hidden(path: str, seen: dict[str, bool]) -> bool:
    """Whether a layer above hides everything in a folder that this lies in."""
    while path := dirname(path):
        if seen.get(path):
            return True
    return False
