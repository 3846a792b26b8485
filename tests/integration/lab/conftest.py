"""`python -m lab up` in processes that tests may kill."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import tempfile
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from lab.machine import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@dataclass(frozen=True)
class RunningLab:
    """A lab in a process of its own, and the variables that it printed."""

    process: subprocess.Popen[str]
    variables: dict[str, str]

    @property
    def directory(self) -> Path:
        """The directory with all its data."""
        return Path(self.variables["FARM_STATE_DIR"]).parent

    @property
    def processes(self) -> set[int]:
        """Every process whose working directory is in its directory."""
        return {int(path.name) for path in Path("/proc").glob("[0-9]*") if self._is_in_directory(path)}

    def _is_in_directory(self, process: Path) -> bool:
        try:
            return (process / "cwd").readlink().is_relative_to(self.directory)
        except OSError:
            return False


@pytest.fixture
def start_lab() -> Iterator[Callable[[], RunningLab]]:
    """Start a lab with its own engine, in a directory of the test."""
    # The paths of pytest's directories are too long for sockets.
    with tempfile.TemporaryDirectory() as temporary, ExitStack() as stack:
        yield lambda: stack.enter_context(_lab(Path(temporary)))


@contextmanager
def _lab(temporary: Path) -> Iterator[RunningLab]:
    # No engine answers there, so the lab starts one.
    environment = {**os.environ, "TMPDIR": str(temporary), "DOCKER_HOST": f"unix://{temporary}/none"}
    with subprocess.Popen(
        [sys.executable, "-m", "lab", "up"], cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            yield RunningLab(process, _variables(process))
        finally:
            process.terminate()
            process.wait(30)


def _variables(process: subprocess.Popen[str]) -> dict[str, str]:
    variables: dict[str, str] = {}
    for line in process.stdout or ():
        words = shlex.split(line, comments=True)
        if not words:
            return variables
        name, _, value = words[1].partition("=")
        variables[name] = value
    raise AssertionError("the lab ended before it was up")
