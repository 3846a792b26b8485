"""What is small on its way and large in memory, or cheap to send and dear to read, costs a known amount."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import tarfile
import time
import tracemalloc
import zlib
from typing import TYPE_CHECKING

import pytest

from farm.builders.message_stream import BuildLog
from farm.buildkit.protobuf import decode, encode
from farm.buildkit.status_messages import read_trace
from farm.cache.archive_import import load
from farm.cache.blobs import Blobs
from farm.cache.filesystem import flatten
from farm.errors import CacheError, ContextError
from farm.registry.oci import OCI_CONFIG, OCI_LAYER, OCI_MANIFEST, ImageManifest
from farm.state.contexts import PIECE, get_context, put_context
from tests.integration.state.conftest import redis_url, store

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from farm.state.store import Store

__all__ = ["redis_url", "store"]

MIB = 1 << 20


def peak(call: Callable[[], object]) -> int:
    """The most memory that a call takes."""
    tracemalloc.start()
    try:
        call()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def planted(store: Store, content: bytes) -> str:
    """Store compressed bytes as a context, as whoever may write to Redis can; return its digest."""
    digest = f"sha256:{hashlib.sha256(b'promised').hexdigest()}"
    store.binary.rpush(f"farm:context:{{{digest}}}", content)
    return digest


def test_a_context_unpacks_to_the_size_that_was_promised_and_to_no_byte_more(store: Store) -> None:
    bomb = zlib.compress(bytes(512 * MIB), 9)
    assert len(bomb) < MIB
    digest = planted(store, bomb)

    def unpack() -> None:
        with pytest.raises(ContextError, match="unpacks to more than its size"):
            get_context(store, digest, size=10_000)

    begun = time.process_time()
    assert peak(unpack) < 8 * MIB
    assert time.process_time() - begun < 1


def test_a_context_of_empty_blocks_is_not_read_for_ever(store: Store) -> None:
    packer = zlib.compressobj()
    blocks = packer.compress(b"x") + packer.flush(zlib.Z_FULL_FLUSH) + b"\x00\x00\x00\xff\xff" * MIB
    digest = planted(store, blocks)
    with pytest.raises(ContextError, match="unpacks to more than its size"):
        get_context(store, digest, size=10_000)


@pytest.mark.parametrize("size", [1, PIECE - 1, PIECE, PIECE + 1, 3 * PIECE])
def test_a_context_of_the_promised_size_is_read_and_of_one_byte_less_refused(store: Store, size: int) -> None:
    for content in (bytes(size), hashlib.shake_128(b"x").digest(size)):
        digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
        put_context(store, digest, io.BytesIO(content), keep=100)
        with get_context(store, digest, size=size) as context:
            assert context.read() == content
        with pytest.raises(ContextError, match="unpacks to more than its size"):
            get_context(store, digest, size=size - 1)


def test_a_message_of_many_fields_is_read_in_linear_time() -> None:
    """160 kB took 39 s."""
    begun = time.process_time()
    assert len(decode(encode((1, b"")) * 80_000).messages(1)) == 80_000
    with pytest.raises(ValueError, match="more than 100,000 values"):
        decode(encode((1, b"")) * 100_001)
    assert time.process_time() - begun < 3


def test_progress_of_many_steps_is_logged_in_linear_time_and_bounded_memory() -> None:
    vertexes = [encode((1, encode((1, f"sha256:{n}"), (3, "RUN x")))) for n in range(20_000)]
    aux = base64.b64encode(b"".join(vertexes)).decode()
    log = BuildLog(lambda _: None)
    begun = time.process_time()
    log.write_trace(lambda: read_trace(aux))
    assert time.process_time() - begun < 5
    assert len(log.progress.steps) == 5_000


def archive(*entries: tuple[tarfile.TarInfo, bytes]) -> io.BytesIO:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as tar:
        for entry, content in entries:
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    file.seek(0)
    return file


def extended(kind: bytes, size: int) -> bytes:
    """The header of an extended header of this size."""
    entry = tarfile.TarInfo("x")
    entry.type, entry.size = kind, size
    return entry.tobuf(tarfile.GNU_FORMAT)


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME], ids=["pax", "GNU"])
def test_an_extended_header_of_a_layer_or_archive_is_not_read_into_memory(
    tmp_path: Path, kind: bytes
) -> None:
    content = extended(kind, 200 * MIB)

    class Endless(io.RawIOBase):
        head = content

        def readable(self) -> bool:
            return True

        def read(self, size: int = -1, /) -> bytes:
            piece, self.head = self.head or bytes(size), b""
            return piece

    def read() -> None:
        with pytest.raises(CacheError, match="an extended header of 209715200 bytes"):
            load(Blobs(tmp_path), Endless())  # type: ignore[arg-type]  # only read() is used

    assert peak(read) < 16 * MIB


def test_a_chain_of_extended_headers_in_a_layer_is_an_error_of_the_image(tmp_path: Path) -> None:
    blobs = Blobs(tmp_path)
    chain = (extended(tarfile.XGLTYPE, 0) * 50_000) + bytes(1024)
    layer = blobs.put(chain, OCI_LAYER)
    config = blobs.put(b"{}", OCI_CONFIG)
    image = blobs.put(ImageManifest.body(config, [layer]), OCI_MANIFEST)
    with pytest.raises(CacheError, match="cannot be read"):
        flatten(blobs, image, io.BytesIO())


def test_the_documents_of_an_archive_take_bounded_memory(tmp_path: Path) -> None:
    many = [(tarfile.TarInfo(f"{number}.json"), b"{" + bytes(4 * MIB)) for number in range(20)]
    with pytest.raises(CacheError, match="holds too many files"):
        load(Blobs(tmp_path), archive(*many))


@pytest.mark.parametrize(
    "documents",
    [
        {"manifest.json": b"[" * 100_000},
        {"manifest.json": b"{}"},
        {"manifest.json": b"[5]"},
        {"manifest.json": b'[{"Config": 5, "Layers": []}]'},
        {"manifest.json": b'[{"Config": "c", "Layers": "x"}]', "c": b"{}"},
        {
            "manifest.json": b'[{"Config": "c", "Layers": [], "RepoTags": [5]}]',
            "c": b'{"rootfs": {"diff_ids": []}}',
        },
        {"manifest.json": b'[{"Config": "c", "Layers": []}]', "c": b'{"rootfs": []}'},
        {"manifest.json": b'[{"Config": "c", "Layers": []}]', "c": b'{"rootfs": {"diff_ids": 5}}'},
        {"index.json": b'{"manifests": 5}'},
        {"index.json": b'{"manifests": [{"digest": []}]}'},
        {
            "index.json": json.dumps(
                {"manifests": [{"mediaType": OCI_MANIFEST, "digest": "md5:a", "size": 1}]}
            ).encode()
        },
    ],
)
def test_a_malformed_archive_is_one_error_of_the_cache(tmp_path: Path, documents: dict[str, bytes]) -> None:
    files = [(tarfile.TarInfo(name), content) for name, content in documents.items()]
    with pytest.raises(CacheError) as caught:
        load(Blobs(tmp_path), archive(*files))
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300
