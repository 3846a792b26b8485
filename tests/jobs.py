"""How tests are distributed to several jobs (`make test JOBS=2`): which stay together, which start first."""

from __future__ import annotations

SHARED = ("tests/compose/", "tests/fault/", "tests/fault/network/", "tests/fault/network/test_far_worker.py")
"""Directories and files whose tests share something that starts slowly, in the order in which they start."""
ALONE = (
    "tests/fault/test_cache.py",
    "tests/fault/test_far_host.py",
    "tests/fault/test_http_proxy.py",
    "tests/fault/test_process.py",
    "tests/fault/network/test_index.py",
)
"""Files in these directories whose tests share nothing with other files."""


def shared_by(nodeid: str) -> str:
    """What a test shares with others: the longest of `SHARED` that contains it, or its file."""
    file, _, _ = nodeid.partition("::")
    if file in ALONE:
        return file
    return max((shared for shared in SHARED if file.startswith(shared)), key=len, default=file)


def turn(nodeid: str) -> int:
    """The position of a test in the order in which tests are given to jobs."""
    shared = shared_by(nodeid)
    return SHARED.index(shared) if shared in SHARED else len(SHARED)
