"""A cache on disk of what registries hold by digest, which never changes: manifests and small blobs.

Whoever knows a digest need not fetch its content again, and public registries count each manifest fetched.
"""

from __future__ import annotations

import logging
import os
import secrets
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from farm.model import digest_of
from farm.model.digests import hex_of
from farm.model.reference import DIGEST
from farm.system.files import make_private

if TYPE_CHECKING:
    from pathlib import Path

log = logging.getLogger(__name__)

_LARGEST = 256 << 10
"""Bytes of a content that is kept."""
_MOST = 20_000
"""Files that are kept; then the older half goes."""
_CHECKED_EACH = 256
"""Files that are written between two counts, on average."""


class CachedContent(NamedTuple):
    """Content as a registry sent it."""

    media_type: str
    """As the header said."""
    body: bytes


class DigestCache:
    """The content of a directory, by digest; safe to share between threads and processes.

    Content is verified when it is read. What cannot be written is not cached, and no error.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def get(self, digest: str) -> CachedContent | None:
        """The content of a digest; None if it is not here, or damaged."""
        if not DIGEST.fullmatch(digest):
            return None
        try:
            head, _, body = self._path(digest).read_bytes().partition(b"\n")
        except OSError:
            return None
        return CachedContent(head.decode("latin-1"), body) if digest_of(body) == digest else None

    def put(self, digest: str, content: CachedContent) -> None:
        """Keep content, of which the caller has verified the digest."""
        if not DIGEST.fullmatch(digest) or len(content.body) > _LARGEST or "\n" in content.media_type:
            return
        path = self._path(digest)
        new = path.with_name(f".new-{secrets.token_hex(8)}")
        try:
            make_private(self._directory)
            new.write_bytes(content.media_type.encode("latin-1", errors="replace") + b"\n" + content.body)
            new.replace(path)
            if not secrets.randbelow(_CHECKED_EACH):
                self._prune()
        except OSError as error:
            log.debug("%s: not cached: %s", path, error)
            with suppress(OSError):
                new.unlink(missing_ok=True)

    def _path(self, digest: str) -> Path:
        return self._directory / hex_of(digest)

    def _prune(self) -> None:
        with os.scandir(self._directory) as found:
            files = sorted((entry.stat().st_mtime, entry.path) for entry in found if entry.is_file())
        for _, path in files[: len(files) - _MOST // 2] if len(files) > _MOST else ():
            os.unlink(path)  # noqa: PTH108 - a path of scandir
