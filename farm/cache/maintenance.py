"""Maintenance of a cache: verify it, remove what no name refers to, empty it."""

from __future__ import annotations

import hashlib
import math
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from farm.cache.blobs import translate_disk_errors
from farm.cache.image_content import verify_layers_below, walk
from farm.errors import CacheError
from farm.model import digest_from_hex, hex_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from farm.cache.layout import Cache
    from farm.model import Descriptor, Reference

GRACE = 3600.0
"""Seconds for which an unnamed blob is kept: another process may be about to name it."""


@dataclass(frozen=True, slots=True)
class CacheProblem:
    """A missing or damaged blob of an image; the name is empty for a blob that no name refers to."""

    name: str
    what: str

    def to_json(self) -> dict[str, Any]:
        """What `--json` prints."""
        return {"name": self.name, "problem": self.what}


@dataclass(frozen=True, slots=True)
class RemovedFiles:
    """What was removed from a cache."""

    files: int
    size: int
    """Bytes."""


def verify(cache: Cache) -> list[CacheProblem]:
    """Read every byte of the cache: compare blobs with their names, and layers with their configurations."""
    with translate_disk_errors(cache.root):
        damaged = {
            digest_from_hex(path.name) for path in _files(cache.blobs.directory) if not _is_intact(path)
        }
    roots = cache.names().items()
    problems = [CacheProblem(name, what) for name, root in roots for what in _problems(cache, root, damaged)]
    reported = " ".join(problem.what for problem in problems)
    unnamed = (digest for digest in sorted(damaged) if digest not in reported)
    return problems + [CacheProblem("", f"{digest} is damaged") for digest in unnamed]


def _problems(cache: Cache, root: Descriptor, damaged: set[str]) -> Iterator[str]:
    """The problems of an image or index, each as a sentence."""
    found = False
    try:
        for one in walk(cache.blobs, root):
            is_missing = not cache.blobs.has(one)
            if is_missing or one.digest in damaged:
                found = True
                yield f"{one.digest} is {'missing or truncated' if is_missing else 'damaged'}"
        if not found:
            verify_layers_below(cache.blobs, root)
    except CacheError as error:
        yield error.message


def prune(cache: Cache, *, grace: float = GRACE) -> RemovedFiles:
    """Remove blobs that no name refers to, and unfinished ones, if they are older than `grace` seconds.

    Raises:
        CacheError: a manifest cannot be read, so that it is unknown what is needed; nothing was removed.
    """
    with cache.locked():
        roots = cache.names_under_lock().values()
        needed = {hex_of(one.digest) for root in roots for one in walk(cache.blobs, root)}
        unneeded = [path for path in _files(cache.blobs.directory) if path.name not in needed]
        return _remove([*unneeded, *_files(cache.blobs.partial)], time.time() - grace)


def remove(cache: Cache, references: Iterable[Reference]) -> list[str]:
    """Remove names; return those that existed. The blobs are kept until `prune`: others may use them."""
    wanted = {str(one.or_latest()) for one in references}
    return list(cache.change(lambda names: dict.fromkeys(name for name in names if name in wanted)))


def clean(cache: Cache) -> RemovedFiles:
    """Empty a cache in any state; a process that writes to it at the same time gets a CacheBusyError."""
    with cache.locked():
        cache.remove_all_names()
        return _remove([*_files(cache.blobs.directory), *_files(cache.blobs.partial)], math.inf)


def _is_intact(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest() == path.name
    except FileNotFoundError:  # pruned meanwhile
        return True


def _files(directory: Path) -> list[Path]:
    return sorted(path for path in directory.iterdir() if path.is_file()) if directory.is_dir() else []


def _remove(paths: Iterable[Path], before: float) -> RemovedFiles:
    files = size = 0
    for path in paths:
        with suppress(FileNotFoundError):  # an unfinished blob was committed or removed meanwhile
            status = path.stat()
            if status.st_mtime < before:
                path.unlink()
                files, size = files + 1, size + status.st_size
    return RemovedFiles(files, size)
