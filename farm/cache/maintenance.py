"""Looking after a cache: what is damaged, what is named by nobody, and an end to it all."""

from __future__ import annotations

import hashlib
import math
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from farm.cache.archive_import import check_diff_ids
from farm.cache.blobs import on_disk
from farm.cache.content import reachable
from farm.cache.layout import tagged
from farm.errors import CacheError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from farm.cache.layout import Cache
    from farm.model import Descriptor, Reference

GRACE = 3600.0
"""Seconds that what nobody names yet is left alone: somebody may be about to name it."""


@dataclass(frozen=True, slots=True)
class Problem:
    """Something wrong with what a name stands for; an empty name for a blob that nobody names."""

    name: str
    what: str

    def to_json(self) -> dict[str, Any]:
        """What `--json` shows."""
        return {"name": self.name, "problem": self.what}


@dataclass(frozen=True, slots=True)
class Pruned:
    """What a clean-up removed."""

    files: int
    size: int
    """Bytes."""


def verify(cache: Cache) -> list[Problem]:
    """Read every byte of the cache: blobs against their names, layers against their images.

    Raises:
        CacheError: index.json cannot be read.
    """
    with on_disk(cache.root):
        damaged = {f"sha256:{path.name}" for path in _files(cache.blobs.directory) if not _is_sound(path)}
    problems = [
        Problem(name, what) for name, root in cache.names().items() for what in _wrong(cache, root, damaged)
    ]
    told = " ".join(problem.what for problem in problems)
    return problems + [Problem("", f"{one} is damaged") for one in sorted(damaged) if one not in told]


def _wrong(cache: Cache, root: Descriptor, damaged: set[str]) -> Iterator[str]:
    """What is wrong with an image or index, each as a sentence."""
    wrong = False
    try:
        for one in reachable(cache.blobs, root):
            if not cache.blobs.has(one):
                wrong = True
                yield f"{one.digest} is not there, or cut off"
            elif one.digest in damaged:
                wrong = True
                yield f"{one.digest} is damaged"
        if not wrong:
            check_diff_ids(cache.blobs, root)
    except CacheError as error:
        yield error.message


def prune(cache: Cache, *, grace: float = GRACE) -> Pruned:
    """Remove the blobs that nobody names, and what killed writers left, if older than `grace` seconds.

    Raises:
        CacheError: what is named cannot be made out, so nothing was removed.
    """
    with on_disk(cache.root), cache.locked():
        roots = cache.standing().values()
        named = {cache.blobs.path(one.digest).name for root in roots for one in reachable(cache.blobs, root)}
        loose = [path for path in _files(cache.blobs.directory) if path.name not in named]
        return _remove([*loose, *_files(cache.blobs.partial)], time.time() - grace)


def remove(cache: Cache, references: Iterable[Reference]) -> list[str]:
    """Take names away; returns those that were there. The blobs stay until `prune`: others may use them."""
    wanted = {str(tagged(one)) for one in references}
    return list(cache.change(lambda names: dict.fromkeys(name for name in names if name in wanted)))


def clean(cache: Cache) -> Pruned:
    """Empty a cache, whatever state it is in; who writes into it at the same time is told to begin again."""
    with on_disk(cache.root), cache.locked():
        cache.reset()
        return _remove([*_files(cache.blobs.directory), *_files(cache.blobs.partial)], math.inf)


def _is_sound(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest() == path.name
    except FileNotFoundError:  # pruned meanwhile
        return True


def _files(directory: Path) -> list[Path]:
    return sorted(path for path in directory.iterdir() if path.is_file()) if directory.is_dir() else []


def _remove(paths: Iterable[Path], before: float) -> Pruned:
    files = size = 0
    for path in paths:
        with suppress(FileNotFoundError):  # a blob that grew is kept or gone by now
            facts = path.stat()
            if facts.st_mtime < before:
                path.unlink()
                files, size = files + 1, size + facts.st_size
    return Pruned(files, size)
