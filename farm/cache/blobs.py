"""The blobs of an OCI image layout: files named by their SHA-256, each complete or absent.

https://github.com/opencontainers/image-spec/blob/main/image-layout.md#blobs
"""

from __future__ import annotations

import errno
import hashlib
import os
import tempfile
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING

from farm.errors import CacheError, DiskFullError
from farm.model import DIGEST, Descriptor, digest_from_hex, digest_of, hex_of
from farm.system.files import make_directory

if TYPE_CHECKING:
    from collections.abc import Iterator

PIECE = 1 << 20
LARGEST = 8 << 20
"""Bytes of a blob that is read as a whole: manifests, indexes, configurations."""


class BlobWriter:
    """Writes one blob, which is visible to nobody before `commit`."""

    def __init__(self, file: IO[bytes], path: Path, directory: Path) -> None:
        self.size = 0
        self._file, self._path, self._directory = file, path, directory
        self._hash = hashlib.sha256()

    @property
    def digest(self) -> str:
        """The digest of what was written."""
        return digest_from_hex(self._hash.hexdigest())

    def write(self, data: bytes) -> None:
        """Append a piece."""
        self._file.write(data)
        self._hash.update(data)
        self.size += len(data)

    def restart(self) -> None:
        """Discard what was written."""
        self._file.seek(0)
        self._file.truncate()
        self._hash, self.size = hashlib.sha256(), 0

    def commit(self, media_type: str, expected: str | None = None) -> Descriptor:
        """Put the blob in its place, if its digest is the expected one."""
        if expected not in (None, self.digest):
            raise CacheError(f"digest mismatch: expected {expected}, got {self.digest}")
        self.rename_to(self._directory / hex_of(self.digest))
        return Descriptor(media_type, self.digest, self.size)

    def rename_to(self, path: Path) -> None:
        """Give the file its name; a reader sees the old content or the new one, also after a power cut."""
        self._file.flush()
        os.fsync(self._file.fileno())
        self._path.rename(path)


class Blobs:
    """All blobs of a layout."""

    def __init__(self, root: Path) -> None:
        self.directory = root / "blobs" / "sha256"
        self.partial = root / ".partial"
        """Unfinished blobs; `prune` removes those of killed processes."""

    def path(self, digest: str) -> Path:
        """Where a blob is stored; CacheError for anything but a sha256 digest, which could name any file."""
        if not DIGEST.fullmatch(digest):
            raise CacheError(f"invalid sha256 digest {digest!r}")
        return self.directory / hex_of(digest)

    def has(self, blob: Descriptor) -> bool:
        """Whether a blob is present in its full size; only `farm cache verify` reads every byte."""
        try:
            return self.path(blob.digest).stat().st_size == blob.size
        except FileNotFoundError:
            return False

    def claim(self, blob: Descriptor) -> bool:
        """Whether a blob is present; if so, `prune` spares it like a new one."""
        with suppress(FileNotFoundError, PermissionError):
            os.utime(self.path(blob.digest))
        return self.has(blob)

    def pieces(self, digest: str) -> Iterator[bytes]:
        """The bytes of a blob, a mebibyte at a time."""
        with translate_disk_errors(self.directory), self._open(digest) as file:
            while piece := file.read(PIECE):
                yield piece

    def read(self, blob: Descriptor) -> bytes:
        """A small blob as a whole, its digest verified."""
        if blob.size > LARGEST:
            raise CacheError(
                f"{self.directory}: {blob.digest} has {blob.size} bytes, too many for a manifest"
            )
        with translate_disk_errors(self.directory), self._open(blob.digest) as file:
            body = file.read(LARGEST)
        if digest_of(body) != blob.digest:
            raise CacheError(
                f"{self.directory}: the blob {blob.digest} is damaged",
                hint="farm cache verify lists all damaged blobs",
            )
        return body

    def put(self, body: bytes, media_type: str) -> Descriptor:
        """Store a small blob; a repetition changes nothing."""
        blob = Descriptor(media_type, digest_of(body), len(body))
        if not self.claim(blob):
            with self.writing() as writer:
                writer.write(body)
                writer.commit(media_type)
        return blob

    @contextmanager
    def writing(self) -> Iterator[BlobWriter]:
        """A writer for a new blob, which is removed at the end unless it was committed."""
        with translate_disk_errors(self.directory):
            for folder in (self.directory, self.partial):
                make_directory(folder)
            handle, name = tempfile.mkstemp(dir=self.partial)
            path = Path(name)
            try:
                with os.fdopen(handle, "wb", buffering=PIECE) as file:
                    path.chmod(0o644)
                    yield BlobWriter(file, path, self.directory)
            finally:
                path.unlink(missing_ok=True)

    def _open(self, digest: str) -> IO[bytes]:
        try:
            return self.path(digest).open("rb")
        except FileNotFoundError as error:
            raise self.missing(digest) from error

    def missing(self, digest: str) -> CacheError:
        """The error for a missing blob."""
        message = f"{self.directory}: the blob {digest} is missing"
        return CacheError(message, hint="pull or build the image again")


@contextmanager
def translate_disk_errors(path: Path) -> Iterator[None]:
    """Report an OSError in one sentence, as a DiskFullError or a CacheError."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DiskFullError(f"{path}: the disk is full", hint="farm cache prune may free some") from error
        raise CacheError(f"{error.filename or path}: {error.strerror or error}") from error
