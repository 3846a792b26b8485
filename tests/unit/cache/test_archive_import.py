from __future__ import annotations

import gzip
import io
import json
import tarfile
import tracemalloc
import zlib
from typing import TYPE_CHECKING, Any

import pytest

from farm.cache.archive_export import archive, root_for
from farm.cache.archive_import import load, names_for
from farm.cache.maintenance import verify
from farm.cache.named_images import add_images, find_image
from farm.errors import CacheError
from farm.model import Reference, digest_of
from farm.registry import compression
from farm.registry.oci import DOCKER_MANIFEST, OCI_MANIFEST
from tests.support.images import NAME, add, docker_archive, put, tar

if TYPE_CHECKING:
    from pathlib import Path

    from farm.cache.layout import Cache


DOCKER_NAMES = {
    "oci.image.config.v1+json": "docker.container.image.v1+json",
    "oci.image.layer.v1.tar+gzip": "docker.image.rootfs.diff.tar.gzip",
}
ONE, TWO = tar({"a": b"1", "d/": None}), tar({"b": b"2" * 5000})


def import_archive(cache: Cache, data: bytes, name: Reference | None = None) -> dict[str, Any]:
    names = names_for(load(cache.blobs, io.BytesIO(data)), name)
    cache.change(lambda _: dict(names))
    return dict(names)


def test_an_archive_of_an_old_engine_becomes_an_image_with_compressed_layers(cache: Cache) -> None:
    names = import_archive(cache, docker_archive([ONE, TWO], ["linuxkit/foo:abc", "other:1"]))
    assert set(names) == {"docker.io/linuxkit/foo:abc", "docker.io/library/other:1"}
    manifest = json.loads(cache.blobs.read(names[str(NAME)]))
    unpacked = [
        gzip.decompress(cache.blobs.path(layer["digest"]).read_bytes()) for layer in manifest["layers"]
    ]
    assert unpacked == [ONE, TWO]
    assert verify(cache) == []


def test_a_layer_that_an_engine_wrote_as_a_link_is_imported_as_its_target(cache: Cache) -> None:
    names = import_archive(cache, docker_archive([ONE, TWO, ONE], ["foo:1"]))
    (root,) = names.values()
    layers = json.loads(cache.blobs.read(root))["layers"]
    assert layers[0] == layers[2] != layers[1]


def test_the_same_archive_gives_the_same_image(cache: Cache, other: Cache) -> None:
    data = docker_archive([ONE, TWO], ["foo:1"])
    assert import_archive(cache, data) == import_archive(other, data)


def test_layers_are_compressed_by_zlib_if_isal_is_not_available(
    cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compression, "isal_zlib", zlib)
    import_archive(cache, docker_archive([ONE, TWO], ["foo:1"]))
    assert verify(cache) == []


def edited(data: bytes, part: str, name: str = "") -> bytes:
    """An archive in which the files with this part in their names are left out, or have another name."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=io.BytesIO(data)) as old, tarfile.open(fileobj=packed, mode="w") as new:
        for entry in old:
            if (part not in entry.name or name) and (file := old.extractfile(entry)):
                put(new, name if part in entry.name else entry.name, file.read())
    return packed.getvalue()


def mixed(source: Cache, layers: list[bytes], *, pure: bool = False) -> bytes:
    """A layout with uncompressed layers, as engines from 25 on write it; `pure` without manifest.json."""
    root = add(source, layers, packed=layers).descriptors[0]
    whole = b"".join(archive(source.blobs, root, [NAME]))
    return edited(whole, "manifest.json") if pure else whole


def test_the_layers_of_an_archive_of_a_newer_engine_are_compressed_too(cache: Cache, other: Cache) -> None:
    (root,) = import_archive(cache, mixed(other, [ONE, TWO])).values()
    layers = json.loads(cache.blobs.read(root))["layers"]
    assert {layer["mediaType"] for layer in layers} == {"application/vnd.oci.image.layer.v1.tar+gzip"}
    assert verify(cache) == []


def test_an_image_layout_with_uncompressed_layers_is_stored_unchanged(cache: Cache, other: Cache) -> None:
    (root,) = import_archive(cache, mixed(other, [ONE, TWO], pure=True)).values()
    layers = json.loads(cache.blobs.read(root))["layers"]
    assert [cache.blobs.path(layer["digest"]).read_bytes() for layer in layers] == [ONE, TWO]
    assert verify(cache) == []


def exported(cache: Cache, name: Reference = NAME, arch: str | None = None) -> bytes:
    return b"".join(archive(cache.blobs, root_for(cache, name, arch), [name]))


@pytest.mark.parametrize("arch", ["amd64", "arm64", "all"])
def test_an_exported_and_imported_image_is_the_same(cache: Cache, other: Cache, arch: str) -> None:
    add_images(cache, NAME, [add(cache, [ONE, TWO]), add(cache, [TWO], "arm64")])
    names = import_archive(other, exported(cache, arch=arch))
    assert names[str(NAME)].digest == root_for(cache, NAME, arch).digest
    assert verify(other) == []


def test_an_export_of_a_missing_architecture_lists_the_present_ones(cache: Cache) -> None:
    add_images(cache, NAME, [add(cache, [ONE], "arm64"), add(cache, [TWO], "s390x")])
    with pytest.raises(CacheError, match="linux/arm64, linux/s390x"):
        root_for(cache, NAME, "riscv64")
    with pytest.raises(CacheError, match="not in the cache"):
        root_for(cache, Reference.parse("nothing:1"), None)


def test_the_only_architecture_is_exported_by_default(cache: Cache) -> None:
    image = add(cache, [ONE], "riscv64")
    add_images(cache, NAME, [image])
    assert root_for(cache, NAME, None).digest == image.descriptors[0].digest


def test_an_archive_with_some_architectures_of_an_index_imports_those(cache: Cache, other: Cache) -> None:
    """An engine with the containerd store saves such an archive after it pulled one image of an index."""
    add_images(cache, NAME, [add(cache, [ONE]), add(cache, [TWO], "arm64")])
    import_archive(other, edited(exported(cache, arch="all"), root_for(cache, NAME, "arm64").digest[7:]))
    assert find_image(other, NAME, "amd64") == find_image(cache, NAME, "amd64")
    assert find_image(other, NAME, "arm64") is None
    assert verify(other) == []


def test_an_image_with_dockers_media_types_is_imported_with_ocis(cache: Cache, other: Cache) -> None:
    """An engine with the containerd store saves what it built in this form."""
    root = add(cache, [ONE]).descriptors[0]
    text = cache.blobs.read(root).decode()
    for oci, old in {"oci.image.manifest.v1": "docker.distribution.manifest.v2", **DOCKER_NAMES}.items():
        text = text.replace(oci, old)
    old_root = cache.blobs.put(text.encode(), DOCKER_MANIFEST)
    data = b"".join(archive(cache.blobs, old_root, [NAME]))
    names = import_archive(other, data)
    assert names[str(NAME)].media_type == OCI_MANIFEST
    assert other.blobs.read(names[str(NAME)]).count(b"oci") == 3
    assert verify(other) == []


ARCHIVE = docker_archive([ONE, TWO], ["foo:1"])
BAD = {
    "digest mismatch": ARCHIVE.replace(digest_of(ONE).encode(), digest_of(TWO).encode()),
    "refers to the layer": edited(ARCHIVE, f"{0:064x}/layer.tar"),
    "blobs/sha256/0000 of the archive: digest mismatch": edited(
        ARCHIVE, f"{0:064x}/layer.tar", "blobs/sha256/0000"
    ),
    "cannot be read: unexpected end of data": ARCHIVE[:3000],
    "cannot be read: invalid header": b"hello" * 1000,
    "cannot be read: empty": b"",
    "has no manifest.json": tar({"readme": b"hello"}),
    "has no names": docker_archive([ONE], []),
}


@pytest.mark.parametrize(("message", "data"), BAD.items(), ids=BAD.keys())
def test_a_bad_archive_is_refused_and_adds_no_name(cache: Cache, message: str, data: bytes) -> None:
    with pytest.raises(CacheError, match=message):
        import_archive(cache, data)
    assert cache.names() == {}


def test_an_archive_without_names_can_be_given_one(cache: Cache) -> None:
    assert set(import_archive(cache, docker_archive([ONE], []), NAME)) == {str(NAME)}


def test_memory_does_not_grow_with_a_layer(cache: Cache, tmp_path: Path) -> None:
    big = tmp_path / "big.tar"
    layer = tar({"zeros": bytes(96 << 20)})
    big.write_bytes(docker_archive([layer], ["foo:1"]))
    del layer
    tracemalloc.start()
    with big.open("rb") as file:
        names = names_for(load(cache.blobs, file))
    cache.change(lambda _: dict(names))
    for _ in archive(cache.blobs, names["docker.io/library/foo:1"], [NAME]):
        pass
    assert verify(cache) == []
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 24 << 20
