"""What real engines answered to small builds, recorded: tests/data/build/ENGINE/CASE.jsonl."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from farm.builders.engine_builder import BuildResult

if TYPE_CHECKING:
    from collections.abc import Callable

RECORDINGS = Path(__file__).parents[1] / "data" / "build"

Replay = tuple[BuildResult, list[str]]


def replayed(path: Path) -> Replay:
    """The outcome of a recorded build, and its log."""
    lines: list[str] = []
    outcome = BuildResult(lines.append)
    for line in path.read_text().splitlines():
        outcome.take(json.loads(line))
    return outcome, lines


@pytest.fixture(params=sorted(folder.name for folder in RECORDINGS.iterdir()))
def replay(request: pytest.FixtureRequest) -> Callable[[str], Replay]:
    """Replays a case of one engine; gives the outcome of the build and its log."""

    def play(case: str) -> Replay:
        return replayed(RECORDINGS / request.param / f"{case}.jsonl")

    return play
