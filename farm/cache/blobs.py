"""The blobs of an OCI image layout: files named by their sha256, each there as a whole or not at all."""

from __future__ import annotations

import errno
import hashlib
import os
import tempfile
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING

from farm.errors import CacheError, DiskFullError
from farm.model import DIGEST, Descriptor

if TYPE_CHECKING:
    from collections.abc import Iterator

PIECE = 1 << 20
LARGEST = 8 << 20
"""Bytes of a blob that is read as a whole: manifests, indexes, configurations."""


class BlobWriter:
    """Takes the bytes of one blob; nobody sees it before `keep`."""

    def __init__(self, file: IO[bytes], path: Path, directory: Path) -> None:
        self.size = 0
        self._file, self._path, self._directory = file, path, directory
        self._summary = hashlib.sha256()

    @property
    def digest(self) -> str:
        """sha256:... of what was written."""
        return f"sha256:{self._summary.hexdigest()}"

    def write(self, data: bytes) -> None:
        """Take the next piece."""
        self._file.write(data)
        self._summary.update(data)
        self.size += len(data)

    def restart(self) -> None:
        """Forget what was written."""
        self._file.seek(0)
        self._file.truncate()
        self._summary, self.size = hashlib.sha256(), 0

    def keep(self, media_type: str, expected: str | None = None) -> Descriptor:
        """Make the blob stand, on the disk and under its name.

        Raises:
            CacheError: it is not what `expected` names.
        """
        if expected not in (None, self.digest):
            raise CacheError(f"what should be {expected} hashes to {self.digest}")
        self.become(self._directory / self.digest.removeprefix("sha256:"))
        return Descriptor(media_type, self.digest, self.size)

    def become(self, path: Path) -> None:
        """Take this place, on the disk before it has its name; whoever reads sees the old or the new."""
        self._file.flush()
        os.fsync(self._file.fileno())
        self._path.rename(path)


class Blobs:
    """All blobs of a layout."""

    def __init__(self, root: Path) -> None:
        self.directory = root / "blobs" / "sha256"
        self.partial = root / ".partial"
        """Where blobs grow; what a killed process left there is taken away by `prune`."""

    def path(self, digest: str) -> Path:
        """The file of a blob, whether it is there or not.

        Raises:
            CacheError: that is no sha256 digest, and so could name any file.
        """
        if not DIGEST.fullmatch(digest):
            raise CacheError(f"{digest!r} is no sha256 digest")
        return self.directory / digest.removeprefix("sha256:")

    def has(self, blob: Descriptor) -> bool:
        """Whether a blob is there in its full size; `farm cache verify` looks at every byte."""
        try:
            return self.path(blob.digest).stat().st_size == blob.size
        except FileNotFoundError:
            return False

    def claim(self, blob: Descriptor) -> bool:
        """Whether a blob is there; if so it is as good as newly written to whoever prunes."""
        with suppress(FileNotFoundError, PermissionError):
            os.utime(self.path(blob.digest))
        return self.has(blob)

    def pieces(self, digest: str) -> Iterator[bytes]:
        """The bytes of a blob, a mebibyte at a time.

        Raises:
            CacheError: it is not there.
        """
        with on_disk(self.directory), self._opened(digest) as file:
            while piece := file.read(PIECE):
                yield piece

    def read(self, blob: Descriptor) -> bytes:
        """A small blob as a whole, its digest checked.

        Raises:
            CacheError: it is not there, too large, or damaged.
        """
        if blob.size > LARGEST:
            raise CacheError(
                f"{self.directory}: {blob.digest} has {blob.size} bytes, too many for a manifest"
            )
        with on_disk(self.directory), self._opened(blob.digest) as file:
            body = file.read(LARGEST)
        if f"sha256:{hashlib.sha256(body).hexdigest()}" != blob.digest:
            raise CacheError(
                f"{self.directory}: the blob {blob.digest} is damaged",
                hint="farm cache verify finds all such",
            )
        return body

    def put(self, body: bytes, media_type: str) -> Descriptor:
        """Store a small blob; doing it twice is doing it once."""
        blob = Descriptor(media_type, f"sha256:{hashlib.sha256(body).hexdigest()}", len(body))
        if not self.claim(blob):
            with self.writing() as writer:
                writer.write(body)
                writer.keep(media_type)
        return blob

    @contextmanager
    def writing(self) -> Iterator[BlobWriter]:
        """A new blob, which is gone at the end unless it was kept.

        Raises:
            DiskFullError: the disk is full.
            CacheError: the disk refuses it otherwise.
        """
        with on_disk(self.directory):
            for folder in (self.directory, self.partial):
                folder.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(dir=self.partial)
            path = Path(name)
            try:
                with os.fdopen(handle, "wb", buffering=PIECE) as file:
                    path.chmod(0o644)
                    yield BlobWriter(file, path, self.directory)
            finally:
                path.unlink(missing_ok=True)

    def _opened(self, digest: str) -> IO[bytes]:
        try:
            return self.path(digest).open("rb")
        except FileNotFoundError as error:
            raise CacheError(f"{self.directory}: the blob {digest} is not there") from error


@contextmanager
def on_disk(place: Path) -> Iterator[None]:
    """Tell what the disk refuses in one sentence.

    Raises:
        DiskFullError: it is full.
        CacheError: anything else.
    """
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DiskFullError(
                f"{place}: the disk is full", hint="farm cache prune may free some"
            ) from error
        raise CacheError(f"{error.filename or place}: {error.strerror or error}") from error
