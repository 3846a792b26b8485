"""Build contexts in Redis: named by the digest of the tar, stored compressed in pieces of a mebibyte."""

from __future__ import annotations

import hashlib
import math
import secrets
import zlib
from contextlib import ExitStack
from typing import IO, TYPE_CHECKING, Any

from redis.exceptions import ResponseError

from farm.errors import ContextError
from farm.model import digest_from_hex
from farm.state.store import Store, translate_redis_errors
from farm.system.files import spool

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

PIECE = 1 << 20
_UPLOAD_LIFE = 3600
"""Seconds after which the pieces of an interrupted upload expire."""


def _key(digest: str) -> str:
    return f"farm:context:{{{digest}}}"


def put_context(store: Store, digest: str, tar: IO[bytes], *, keep: float) -> None:
    """Store a context unless it is stored; either way it expires in `keep` seconds.

    The pieces are uploaded under a temporary key, which is renamed when complete: nobody reads half a
    context.
    """
    if not keep_contexts(store, [digest], keep=keep):
        return
    upload = f"{_key(digest)}:{secrets.token_hex(8)}"
    for number, piece in enumerate(_compressed(tar)):
        _push(store, upload, number, piece)
    _rename(store, upload, digest, keep=keep)


@translate_redis_errors
def _push(store: Store, upload: str, number: int, piece: bytes) -> None:
    pipeline = store.binary.pipeline()
    pipeline.rpush(upload, piece)
    # Where the answer was lost, redis-py sends the transaction again; the second copy of the piece is cut
    # off.
    pipeline.ltrim(upload, 0, number)
    pipeline.expire(upload, _UPLOAD_LIFE)
    pipeline.execute()


@translate_redis_errors
def _rename(store: Store, upload: str, digest: str, *, keep: float) -> None:
    pipeline = store.binary.pipeline()
    pipeline.rename(upload, _key(digest))
    pipeline.expire(_key(digest), int(keep))
    try:
        pipeline.execute()
    except ResponseError:
        # The key to rename is gone where the answer was lost and the transaction came again.
        if not store.binary.expire(_key(digest), int(keep)):
            raise


def keep_contexts(store: Store, digests: Sequence[str], *, keep: float) -> tuple[str, ...]:
    """Let stored contexts expire in `keep` seconds; returns those that are not stored any more."""
    found = store.ask(("expire", _key(digest), int(keep)) for digest in digests)
    return tuple(digest for digest, exists in zip(digests, found, strict=True) if not exists)


def _compressed(tar: IO[bytes]) -> Iterator[bytes]:
    # Against the default, level 3 makes it 2% larger in two thirds of the time; the digest does not depend
    # on it.
    packer = zlib.compressobj(level=3)
    while plain := tar.read(PIECE):
        if piece := packer.compress(plain):
            yield piece
    yield packer.flush()


def get_context(store: Store, digest: str, *, size: int | None = None) -> IO[bytes]:
    """Return the uncompressed tar of a context, as an unnamed temporary file at its start.

    It is a ContextError if it is not stored (any more), does not have its digest, or unpacks to more than
    `size` bytes; no more than these are unpacked.
    """
    unpacker, summary = zlib.decompressobj(), hashlib.sha256()
    try:
        with ExitStack() as failed:
            unpacked = failed.enter_context(spool())
            for plain in _decompressed(_pieces(store, digest), unpacker, math.inf if size is None else size):
                summary.update(plain)
                unpacked.write(plain)
            if not unpacker.eof or digest_from_hex(summary.hexdigest()) != digest:
                raise zlib.error("digest mismatch")  # noqa: TRY301 - handled like data that zlib refuses
            unpacked.seek(0)
            failed.pop_all()
    except zlib.error as error:
        # `put_context` skips a digest that is stored, so damaged content would never be replaced.
        translate_redis_errors(store.binary.delete)(_key(digest))
        raise ContextError(
            f"the context {digest} arrived damaged: {error}", hint="submit the package again"
        ) from error
    return unpacked


def _decompressed(pieces: Iterable[bytes], unpacker: Any, size: float) -> Iterator[bytes]:
    """The content of compressed pieces, a mebibyte at a time, and no byte more than `size`."""
    # Empty blocks cost input and give no output; honest content grows by five bytes in 16 KiB at most.
    packed_left = size + size // 1024 + PIECE
    for piece in pieces:
        packed_left -= len(piece)
        plain, rest = bytes(PIECE), piece
        # Where a piece of output is full, there may be more although no input is left.
        while (rest or len(plain) == PIECE) and not unpacker.eof:
            plain = unpacker.decompress(rest, PIECE)
            rest = unpacker.unconsumed_tail
            size -= len(plain)
            if size < 0 or packed_left < 0:
                raise zlib.error("it unpacks to more than its size")
            yield plain


def _pieces(store: Store, digest: str) -> Iterator[bytes]:
    number, read = 0, translate_redis_errors(store.binary.lindex)
    while (piece := read(_key(digest), number)) is not None:
        yield bytes(piece)  # type: ignore[arg-type]  # redis-py types one class for sync and async
        number += 1
    if not number:
        raise ContextError(f"the context {digest} is not stored any more", hint="submit the package again")
