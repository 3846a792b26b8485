from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from farm.cache.layout import Cache

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "cache", lock_timeout=60)


@pytest.fixture
def other(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "other", lock_timeout=60)


def layer_of(cache: Cache) -> Path:
    """The file of a compressed layer."""
    return next(path for path in cache.blobs.directory.iterdir() if path.read_bytes().startswith(b"\x1f\x8b"))
