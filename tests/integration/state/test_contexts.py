"""Contexts in Redis: complete or not at all, and always with the content of their digest."""

from __future__ import annotations

import hashlib
import io
import os
import tempfile
import tracemalloc
from typing import TYPE_CHECKING

import pytest

from farm.errors import ContextError, TemporaryFullError
from farm.settings import Secret
from farm.state.contexts import PIECE, get_context, keep_contexts, put_context
from farm.state.store import Store
from tests.support.proxy.tcp import proxy
from tests.support.proxy.tripwire import Hold, containing
from tests.support.small_disk import small_disk

if TYPE_CHECKING:
    from pathlib import Path

KEEP = 600.0


def named(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def put(store: Store, content: bytes) -> str:
    """Store a context; returns its digest."""
    digest = named(content)
    put_context(store, digest, io.BytesIO(content), keep=KEEP)
    return digest


def got(store: Store, digest: str) -> bytes:
    with get_context(store, digest) as context:
        return context.read()


@pytest.mark.parametrize("size", [0, 1, PIECE - 1, PIECE, PIECE + 1, 3 * PIECE + 7])
def test_a_context_is_read_back_unchanged(store: Store, size: int) -> None:
    content = os.urandom(size)
    assert got(store, put(store, content)) == content


def test_the_error_for_an_unknown_context_says_what_to_do(store: Store) -> None:
    with pytest.raises(ContextError, match="is not stored any more") as caught:
        get_context(store, named(b"never"))
    assert "submit the package again" in str(caught.value)


def test_an_interrupted_upload_is_never_read_and_does_not_hinder_the_next(store: Store) -> None:
    class Broken(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            if self.tell() >= 2 * PIECE:
                raise OSError("the disk is gone")
            return super().read(size)

    content = os.urandom(4 * PIECE)
    # An error of the submitter's disk, and not of Redis.
    with pytest.raises(OSError, match="the disk is gone"):
        put_context(store, named(content), Broken(content), keep=KEEP)
    with pytest.raises(ContextError, match="not stored"):
        get_context(store, named(content))
    assert all(0 < store.binary.ttl(key) <= 3600 for key in store.binary.scan_iter("farm:context:*"))
    put(store, content)
    assert got(store, named(content)) == content


@pytest.mark.parametrize("damage", ["cut", "turned", "longer"])
def test_a_damaged_context_is_refused_and_submitting_again_replaces_it(store: Store, damage: str) -> None:
    content = os.urandom(2 * PIECE)
    digest = put(store, content)
    (key,) = store.binary.scan_iter("farm:context:*")
    if damage == "cut":
        store.binary.rpop(key)
    elif damage == "turned":
        store.binary.lset(key, 1, os.urandom(100).decode("latin1"))
    else:
        store.binary.lpush(key, b"more")
    with pytest.raises(ContextError, match="arrived damaged"):
        get_context(store, digest)
    put(store, content)
    assert got(store, digest) == content


def test_storing_it_again_only_extends_its_life(store: Store) -> None:
    digest = put(store, b"content")
    put_context(store, digest, io.BytesIO(b"not read at all"), keep=5000)
    (key,) = store.binary.scan_iter("farm:context:*")
    assert got(store, digest) == b"content"
    assert store.binary.ttl(key) > KEEP


def test_keeping_returns_those_that_are_gone(store: Store) -> None:
    here, gone = put(store, b"here"), named(b"gone")
    assert keep_contexts(store, [gone, here], keep=KEEP) == (gone,)
    assert keep_contexts(store, [], keep=KEEP) == ()


@pytest.mark.parametrize("word", ["RPUSH", "RENAME"])
def test_a_lost_answer_damages_nothing(redis_url: str, store: Store, word: str) -> None:
    content = os.urandom(100)
    with proxy(redis_url) as proxied:
        far = Store(Secret(proxied.in_place_of(redis_url)))
        far.ping()
        loss = proxied.trip(containing(word), Hold.AFTER, drop=True)
        put(far, content)
        assert loss.hits == 1
        far.close()
    assert got(store, named(content)) == content


def test_a_big_context_takes_no_more_memory_than_some_pieces(store: Store) -> None:
    class Zeros(io.RawIOBase):
        left = 48 * PIECE

        def read(self, size: int = -1, /) -> bytes:
            size = min(size, self.left)
            self.left -= size
            return bytes(size)

    summary = hashlib.sha256()
    for _ in range(48):
        summary.update(bytes(PIECE))
    digest = f"sha256:{summary.hexdigest()}"
    tracemalloc.start()
    try:
        put_context(store, digest, Zeros(), keep=KEEP)  # type: ignore[arg-type]  # only read() is used
        with get_context(store, digest) as context:
            assert context.seek(0, io.SEEK_END) == 48 * PIECE
        assert tracemalloc.get_traced_memory()[1] < 16 * PIECE
    finally:
        tracemalloc.stop()


def test_a_full_disk_of_a_worker_is_not_reported_as_an_error_of_redis(
    store: Store, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    content = os.urandom(3 * PIECE)
    digest = put(store, content)
    with small_disk(tmp_path / "disk") as disk, monkeypatch.context() as worker:
        worker.setattr(tempfile, "tempdir", str(disk))
        with pytest.raises(TemporaryFullError, match=f"^the temporary directory {disk} is full"):
            get_context(store, digest)
    assert got(store, digest) == content
