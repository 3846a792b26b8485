"""How long a command takes that needs no broker, beside an interpreter that does nothing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.measure import Row, seconds
from lab.setup import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_FARM = str(Path(sys.executable).with_name("farm"))


def rows() -> Iterator[Row]:
    """`farm --help`, `farm show-tag` and `farm cache ls`."""
    nothing = seconds(lambda: _run([sys.executable, "-c", "pass"]))
    for words in (["--help"], ["show-tag", "examples/hello"], ["cache", "ls"]):
        ours = seconds(lambda words=words: _run([_FARM, *words]))  # type: ignore[misc]
        yield Row(f"farm {' '.join(words)}", ours, "python -c pass", nothing)


def _run(command: Sequence[str]) -> None:
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
