"""Push an image of the engine with the farm's own client, and ISA-L, which compresses faster than the engine.

The engine saves the image as an archive, which is read once, as it arrives. Each layer is compressed into a
temporary file, and uploaded while the next one is compressed: there are two such files at the most.

The registry gets what the engine would push: the same configuration byte by byte, and the same layers,
compressed in another way.
"""

from __future__ import annotations

import hashlib
import tarfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING

from farm.builders.engine_images import open_saved
from farm.builders.message_stream import Limits
from farm.errors import CancelledError, EngineError, RegistryUnavailableError
from farm.model import Descriptor, digest_from_hex, digest_of, hex_of
from farm.registry.blobs import BlobUpload, push_blob
from farm.registry.compression import SMALLER, LayerCompressor
from farm.registry.oci import DOCKER_CONFIG, DOCKER_LAYER, DOCKER_MANIFEST, ImageManifest
from farm.system.files import spool

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from concurrent.futures import Executor, Future

    from farm.builders.builder import Control
    from farm.builders.docker_engine import Engine
    from farm.model import Reference
    from farm.registry.client import Registry

_PIECE = 1 << 20
"""Bytes; with another number, equal layers would have other digests."""
_LARGEST_CONFIG = 4 << 20
_SLOW_DISK = 10 << 20
"""Bytes a second with which an engine at least writes an archive, all of it before the first byte."""
_STATUS = {
    BlobUpload.EXISTING: "Layer already exists",
    BlobUpload.MOUNTED: "Mounted from another repository",
    BlobUpload.SENT: "Pushed",
}
"""As the engine says it."""


def push(
    engine: Engine, registry: Registry, reference: Reference, control: Control, *, silence: float
) -> str:
    """Push the image that the engine knows as NAME:TAG to that name, as `Builder.push` demands.

    Raises:
        EngineError: the engine does not save it, or not as an archive that is understood.
        TemporaryFullError: the directory for temporary files is full.
    """
    image = engine.inspect(str(reference))
    diff_ids = tuple(image["RootFS"].get("Layers") or ())
    patience = silence + image["Size"] / _SLOW_DISK
    work = f"the push of {reference.familiar}"
    limits = Limits.start(work, control, RegistryUnavailableError, silence=patience)
    control.log(f"push: The push refers to repository [{reference.name}]")
    with ThreadPoolExecutor(1) as uploads:
        pushing = _Push(uploads, registry, reference, image["Id"], diff_ids, limits)
        try:
            with open_saved(engine, image["Id"], limits.check) as archive:
                pushing.take_all(archive)
            return pushing.finish()
        finally:
            pushing.ended = True


@dataclass(slots=True)
class _Push:
    uploads: Executor
    registry: Registry
    reference: Reference
    image: str
    """The image's id, which is the digest of its configuration."""
    diff_ids: tuple[str, ...]
    limits: Limits
    config: bytes = b""
    layers: dict[str, Descriptor] = field(default_factory=dict)
    """By the digest of the uncompressed layer."""
    uploading: Future[None] | None = None
    ended: bool = False
    """Whether an upload must end."""

    def take_all(self, archive: IO[bytes]) -> None:
        """Push the layers of an archive, and keep the configuration."""
        try:
            with tarfile.open(fileobj=archive, mode="r|", bufsize=_PIECE) as tar:
                for entry in tar:
                    if entry.isreg() and (file := tar.extractfile(entry)):
                        self.take(entry.name, file)
        except tarfile.TarError as error:
            raise EngineError(f"the engine saved the image as an invalid archive: {error}") from error

    def take(self, name: str, file: IO[bytes]) -> None:
        """Process a file of the archive: engines before 25 write ID/layer.tar, others blobs/sha256/DIGEST.

        https://github.com/moby/moby/blob/v20.10.24/image/tarexport/save.go
        """
        stem = name.rpartition("/")[2].removesuffix(".json")
        if stem == "layer.tar" or f"sha256:{stem}" in self.diff_ids:
            self._push_layer(file)
        elif stem == hex_of(self.image):
            self.config = file.read(_LARGEST_CONFIG)

    def _push_layer(self, file: IO[bytes]) -> None:
        with ExitStack() as stack:
            blob = _SpooledBlob(stack.enter_context(spool()), self._check)
            compressor = LayerCompressor(blob, level=SMALLER)
            while piece := file.read(_PIECE):
                self._check()
                compressor.write(piece)
            compressor.close()
            layer = Descriptor(DOCKER_LAYER, blob.digest, blob.size)
            self.layers[compressor.diff_id] = layer
            self._wait()
            self.uploading = self.uploads.submit(self._upload, compressor.diff_id, layer, blob)
            stack.pop_all()

    def _upload(self, diff_id: str, layer: Descriptor, blob: _SpooledBlob) -> None:
        with blob.file:
            done = push_blob(self.registry, self.reference, layer, blob.pieces)
        self.limits.control.log(f"push: {hex_of(diff_id)[:12]}: {_STATUS[done]}")

    def _wait(self) -> None:
        if self.uploading:
            self.uploading.result()

    def _check(self) -> None:
        if self.ended:
            raise CancelledError("the push has failed")
        self.limits.check(time.monotonic())

    def finish(self) -> str:
        """Push configuration and manifest; return the digest of the manifest."""
        self._wait()
        if digest_of(self.config) != self.image or not self.layers.keys() >= set(self.diff_ids):
            raise EngineError("the engine saved the image without its configuration, or without a layer")
        config = Descriptor(DOCKER_CONFIG, self.image, len(self.config))
        push_blob(self.registry, self.reference, config, lambda: iter([self.config]))
        self._check()
        body = ImageManifest.body(config, [self.layers[one] for one in self.diff_ids], DOCKER_MANIFEST)
        pushed = self.registry.put_manifest(self.reference, DOCKER_MANIFEST, body)
        tag = self.reference.tag or "latest"
        self.limits.control.log(f"push: {tag}: digest: {pushed.digest} size: {pushed.size}")
        return pushed.digest


@dataclass(slots=True)
class _SpooledBlob:
    """A blob in a temporary file."""

    file: IO[bytes]
    check: Callable[[], None]
    """Raises to stop the upload."""
    size: int = 0
    hash: hashlib._Hash = field(default_factory=hashlib.sha256)

    @property
    def digest(self) -> str:
        return digest_from_hex(self.hash.hexdigest())

    def write(self, data: bytes) -> None:
        self.file.write(data)
        self.hash.update(data)
        self.size += len(data)

    def pieces(self) -> Iterator[bytes]:
        self.file.seek(0)
        while piece := self.file.read(_PIECE):
            self.check()
            yield piece
