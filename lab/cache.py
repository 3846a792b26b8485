"""The cache outside the checkout: downloads and builds, each named by a hash of what decides its content.

An entry is a directory NAME/HASH. It is filled under another name and renamed, so that it is complete or
absent. Its modification time is when it was last used. It needs no installed package.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from farm.syntax.setting_types import below_home
from farm.system.locks import locked
from lab.machine import run

if TYPE_CHECKING:
    from collections.abc import Callable

KEPT_DAYS = 14
"""An entry that no set-up has used for so long is removed."""
_NEW, _LOCK = ".new", ".lock"


def cache_directory(variables: dict[str, str] | None = None) -> Path:
    """The cache: LAB_CACHE, else linuxkit-farm-lab in the user's cache directory."""
    given = os.environ if variables is None else variables
    if named := given.get("LAB_CACHE"):
        return Path(named).absolute()
    return Path(given.get("XDG_CACHE_HOME") or below_home(".cache")) / "linuxkit-farm-lab"


CACHE = cache_directory()


@dataclass(frozen=True, slots=True)
class Entry:
    """One directory in the cache."""

    name: str
    decided_by: tuple[str, ...]
    """All that its content depends on: versions, suites, the text of files."""
    cache: Path = CACHE

    @property
    def path(self) -> Path:
        """The entry's directory, which exists once it is filled."""
        digest = hashlib.sha256("\0".join(self.decided_by).encode()).hexdigest()
        return self.cache / self.name / digest[:16]

    def exists(self) -> bool:
        """Whether it is filled; asking counts as use."""
        with suppress(FileNotFoundError):
            os.utime(self.path)
            return True
        return False

    def filled(self, fill: Callable[[Path], None]) -> Path:
        """Return the entry's directory, which `fill` writes if the entry does not exist.

        A second process waits for the first. What a killed one left behind is removed.
        """
        if not self.exists():
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with locked(self.path.with_name(_LOCK)):
                if not self.exists():
                    new = self.path.with_name(_NEW)
                    remove(new)
                    new.mkdir()
                    fill(new)
                    new.rename(self.path)
                    # Unpacking may have set the time of the directory to that of an archive's entry.
                    os.utime(self.path)
        return self.path


def unused(cache: Path = CACHE, *, now: float | None = None) -> list[Path]:
    """The entries that were not used for `KEPT_DAYS`, and what killed set-ups left behind as long ago."""
    oldest = (time.time() if now is None else now) - KEPT_DAYS * 24 * 3600
    return [entry for entry in cache.glob("*/*/") if entry.stat().st_mtime < oldest]


def prune(cache: Path = CACHE, *, now: float | None = None) -> None:
    """Remove them."""
    for entry in unused(cache, now=now):
        # While the lock is held, something is made; the next set-up removes the rest.
        with suppress(BlockingIOError), locked(entry.with_name(_LOCK), timeout=0):
            remove(entry)


def remove(directory: Path) -> None:
    """Remove a directory, with files in it that belong to root."""
    if directory.exists():
        try:
            shutil.rmtree(directory)
        except PermissionError:
            run(["rm", "-rf", str(directory)], root=True)


def main() -> int:
    """Print what the cache holds, or remove it; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python3 -m lab.cache", description="The cache of all checkouts.")
    parser.add_argument("--remove", action="store_true", help="remove it")
    if parser.parse_args().remove:
        remove(CACHE)
        print(f"removed {CACHE}")
        return 0
    for entry in sorted(CACHE.glob("*/*/")):
        print(f"{time.strftime('%F', time.localtime(entry.stat().st_mtime))}  {entry}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
