"""How tests are distributed to several jobs (`make test JOBS=2`): which stay together, which start first."""

from __future__ import annotations

import functools
import json
from pathlib import Path

SHARED = ("tests/compose/", "tests/fault/", "tests/fault/network/", "tests/fault/network/test_far_worker.py")
"""Directories and files whose tests share something that starts slowly."""
ALONE = (
    "tests/compose/test_site.py",
    "tests/fault/test_cache.py",
    "tests/fault/test_far_host.py",
    "tests/fault/test_process.py",
    "tests/fault/network/test_index.py",
)
"""Files in these directories whose tests share nothing with other files."""
RECORDED = Path(__file__).parent / "data" / "durations.json"
"""Seconds by group of tests; `python -m tests.durations --record` writes it."""


def shared_by(nodeid: str) -> str:
    """The group of a test, all in one job: the longest of `SHARED` that contains it, or its file."""
    file, _, _ = nodeid.partition("::")
    if file in ALONE:
        return file
    return max((shared for shared in SHARED if file.startswith(shared)), key=len, default=file)


@functools.cache
def _recorded() -> dict[str, int]:
    seconds: dict[str, int] = json.loads(RECORDED.read_text())
    return seconds


def turn(nodeid: str) -> int:
    """The sort key of the order in which groups are given to jobs: the longest first, unknown ones last."""
    return -_recorded().get(shared_by(nodeid), 0)
