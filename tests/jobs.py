"""With several jobs (`make test JOBS=2`), tests that share a fixture stay in one; the longest begin."""

from __future__ import annotations

SHARED = ("tests/compose/", "tests/fault/network/", "tests/fault/")
"""Directories whose tests share something that takes long to start, in the order in which they begin."""
ALONE = ("tests/fault/test_cache.py", "tests/fault/test_http_proxy.py", "tests/fault/test_process.py")
"""What lies there and shares nothing."""


def shared_by(nodeid: str) -> str:
    """What a test shares with others: a directory of `SHARED`, or its file."""
    file, _, _ = nodeid.partition("::")
    if file in ALONE:
        return file
    return next((directory for directory in SHARED if file.startswith(directory)), file)


def turn(nodeid: str) -> int:
    """Where a test stands in the order in which tests are given to jobs."""
    shared = shared_by(nodeid)
    return SHARED.index(shared) if shared in SHARED else len(SHARED)
