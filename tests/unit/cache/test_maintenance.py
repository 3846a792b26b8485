from __future__ import annotations

import gzip
import io
import os
from typing import TYPE_CHECKING

import pytest

from farm.cache.filesystem import flatten
from farm.cache.maintenance import clean, prune, verify
from farm.cache.named_images import add_images, find_image
from farm.errors import CacheError
from tests.support.images import LAYER, NAME, add, tar
from tests.unit.cache.conftest import layer_of

if TYPE_CHECKING:
    from pathlib import Path

    from farm.cache.layout import Cache


def fill(cache: Cache) -> None:
    add_images(cache, NAME, [add(cache, [tar({"a": b"1"})])])


def age(path: Path, seconds: float = 7200) -> None:
    when = path.stat().st_mtime - seconds
    os.utime(path, (when, when))


def test_a_changed_byte_and_a_truncated_blob_are_found_and_reported_by_name(cache: Cache) -> None:
    fill(cache)
    layer = layer_of(cache)
    body = layer.read_bytes()
    for content, what in ((body[:-1] + bytes([body[-1] ^ 1]), "is damaged"), (body[:2], "truncated")):
        layer.write_bytes(content)
        problems = verify(cache)
        assert {problem.name for problem in problems} == {str(NAME), f"{NAME}-amd64"}
        assert all(layer.name in problem.what and what in problem.what for problem in problems)


def test_a_layer_that_does_not_match_its_configuration_is_found(cache: Cache) -> None:
    add_images(cache, NAME, [add(cache, [tar({"a": b"1"})], promised=[tar({"a": b"2"})])])
    assert any("digest mismatch" in problem.what for problem in verify(cache))


LAYER_ONE = tar({"a": bytes(range(256)) * 20})
PACKED = gzip.compress(LAYER_ONE, mtime=0)
NO_LAYERS = {
    "truncated": PACKED[:-20],
    "a wrong checksum": PACKED[:-8] + bytes(8),
    "not a deflate stream": PACKED[:12] + b"\xff" * 40 + PACKED[52:],
    "trailing bytes": PACKED + b"something",
}


@pytest.mark.parametrize("packed", NO_LAYERS.values(), ids=NO_LAYERS.keys())
def test_a_damaged_layer_is_found_and_not_exported(cache: Cache, packed: bytes) -> None:
    image = add(cache, [LAYER_ONE], packed=[packed])
    add_images(cache, NAME, [image])
    assert any("cannot be decompressed" in problem.what for problem in verify(cache))
    with pytest.raises(CacheError):
        flatten(cache.blobs, image.descriptors[0], io.BytesIO())


def test_a_damaged_blob_without_a_name_is_reported_too(cache: Cache) -> None:
    blob = cache.blobs.put(b"something", LAYER)
    cache.blobs.path(blob.digest).write_bytes(b"another t")
    assert [problem.name for problem in verify(cache)] == [""]


def test_prune_keeps_named_and_recent_blobs(cache: Cache) -> None:
    fill(cache)
    young = cache.blobs.put(b"about to be named", LAYER)
    old = cache.blobs.put(b"left behind", LAYER)
    for path in cache.blobs.directory.iterdir():
        if path != cache.blobs.path(young.digest):
            age(path)
    pruned = prune(cache)
    assert (pruned.files, pruned.size) == (1, old.size)
    assert cache.blobs.has(young)
    assert find_image(cache, NAME, "amd64") is not None


def test_prune_removes_the_unfinished_blobs_of_a_killed_writer(cache: Cache) -> None:
    with cache.locked():
        left = cache.blobs.partial / "tmp123"
        left.write_bytes(b"half")
    age(left)
    assert prune(cache).files == 1
    assert not left.exists()


def test_a_blob_that_a_writer_reuses_counts_as_recent(cache: Cache) -> None:
    blob = cache.blobs.put(b"something", LAYER)
    age(cache.blobs.path(blob.digest))
    assert cache.blobs.claim(blob)
    assert prune(cache).files == 0


@pytest.mark.parametrize("text", [None, "{"])
def test_a_cleaned_cache_is_empty_and_usable_even_if_it_was_damaged(cache: Cache, text: str | None) -> None:
    fill(cache)
    if text:
        (cache.root / "index.json").write_text(text)
    assert clean(cache).files > 0
    assert cache.names() == {}
    fill(cache)
    assert verify(cache) == []
