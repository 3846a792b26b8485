"""The duration of commands that need no broker, beside an interpreter that does little or nothing."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from contextlib import closing, contextmanager
from functools import partial
from http.client import HTTPConnection
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.measure import Pairs, Row, cpu_of_children, fastest, in_turn, seconds
from lab import services
from lab.machine import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_FARM = str(Path(sys.executable).with_name("farm"))
_PACKAGE = "examples/hello"


def rows(against: Path | None) -> Iterator[Row | Pairs]:
    """`farm --help`, `farm show-tag`, `farm cache ls` and `farm plan`, or such commands of two checkouts."""
    if against:
        yield from _pairs(against)
        return
    nothing = seconds(lambda: _run([sys.executable, "-c", "pass"]))
    for words in (["--help"], ["show-tag", _PACKAGE], ["cache", "ls"]):
        farm = seconds(lambda words=words: _run([_FARM, *words]))  # type: ignore[misc]
        yield Row(f"farm {' '.join(words)}", farm, "python -c pass", nothing)
    yield _plan()


def _pairs(against: Path) -> Iterator[Pairs]:
    with _registry() as address:
        plan = ["plan", "--no-sign", "--org", f"{address}/bench"]
        for words in (["--version"], ["--help"], ["show-tag"], plan):
            arguments = [*words, *([] if words[0].startswith("--") else [_PACKAGE])]
            calls = (partial(_farm_of, checkout, arguments) for checkout in (ROOT, against))
            times = in_turn(*calls, clock=cpu_of_children)
            yield Pairs(f"farm {words[0]}, processor time", *times)


def _farm_of(checkout: Path, words: Sequence[str]) -> None:
    _run([str(checkout / ".venv" / "bin" / "farm"), *words])


def _plan() -> Row:
    """A plan of one package beside the minimum that it needs; the limit is 2.5 times that."""
    with _registry() as address:
        plan = [_FARM, "plan", "--no-sign", "--org", f"{address}/bench", _PACKAGE]
        farm, *least = fastest(
            lambda: _run(plan),
            lambda: _run([sys.executable, "-c", "import yaml, click"]),
            lambda: _run(["git", "rev-parse", f"HEAD:{_PACKAGE}"]),
            lambda: _ask(address),
        )
    return Row(f"farm plan {_PACKAGE} (limit 2.5)", farm, "import yaml, click; git; one response", sum(least))


@contextmanager
def _registry() -> Iterator[str]:
    with tempfile.TemporaryDirectory() as directory:
        registry = services.registry(Path(directory))
        registry.service.start()
        try:
            yield registry.address
        finally:
            registry.service.stop()


def _ask(address: str) -> None:
    with closing(HTTPConnection(address)) as connection:
        connection.request("GET", "/v2/bench/hello/manifests/none")
        connection.getresponse().read()


def _run(command: Sequence[str]) -> None:
    # The first round writes the bytecode of modules that were changed, as an installation has it.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True)
