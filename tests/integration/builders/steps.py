"""Build steps that a test can find among the processes of this machine."""

from __future__ import annotations

from pathlib import Path
from uuid import uuid4


def is_running(mark: str) -> bool:
    """Whether the process of a build step runs on this machine."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if mark in path.read_bytes().decode(errors="replace").split("\0"):
                return True
        except OSError:
            continue
    return False


def sleeper() -> tuple[str, str]:
    """A Dockerfile that sleeps longer than any test, and the argument that identifies the process."""
    mark = str(100_000 + uuid4().int % 800_000)
    return f"FROM BASE\nRUN sleep {mark}\n", mark
