"""A small file system, which a test fills."""

from __future__ import annotations

import os
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextmanager
def small_disk(place: Path, size: str = "1m") -> Iterator[Path]:
    """Mount a file system of this size (in the syntax of mount) at a new directory."""
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(place)]
    subprocess.run(mount, check=True, timeout=30)
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True, timeout=30)


def fill(disk: Path) -> Path:
    """Fill all free space; returns the file that does."""
    path = disk / "ballast"
    left = os.statvfs(disk)
    path.write_bytes(bytes(left.f_bavail * left.f_frsize))
    return path
