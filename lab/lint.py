"""Formatting, lint, types and imports, checked side by side: `python -m lab.lint [CHECK ...]`."""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING

from lab.machine import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterable

CHECKS = {
    "format": ["ruff", "format", "--check", "--quiet", "."],
    "lint": ["ruff", "check", "--quiet", "."],
    "types": ["mypy", "--no-error-summary"],
    "imports": ["lint-imports"],
}


@dataclass(frozen=True, slots=True)
class _Running:
    check: str
    process: subprocess.Popen[bytes]
    output: IO[bytes]


@dataclass
class Lint:
    """Checks that run in processes of their own until `failures` collects them."""

    checks: Iterable[str] = tuple(CHECKS)
    _running: list[_Running] = field(default_factory=list)

    def start(self) -> None:
        """Start them all."""
        programs = Path(sys.executable).parent
        for check in self.checks:
            program, *words = CHECKS[check]
            output = tempfile.TemporaryFile()  # noqa: SIM115 - closed when the check has ended
            process = subprocess.Popen(
                [str(programs / program), *words],
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
            self._running.append(_Running(check, process, output))

    def failures(self) -> list[str]:
        """Wait for them; returns what each that failed printed, under its name."""
        failed = []
        for one in self._running:
            status = one.process.wait()
            with one.output as output:
                output.seek(0)
                printed = output.read().decode(errors="replace").strip()
            if status:
                failed.append(f"{' '.join(CHECKS[one.check])} failed:\n{printed}")
        self._running.clear()
        return failed

    def stop(self) -> None:
        """End those that still run."""
        for one in self._running:
            one.process.terminate()
        self.failures()


def main() -> int:
    """Run checks; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m lab.lint", description="Check the code.")
    parser.add_argument("checks", nargs="*", metavar="CHECK", help=f"of {', '.join(CHECKS)}; all by default")
    checks = parser.parse_args().checks or list(CHECKS)
    if unknown := set(checks) - CHECKS.keys():
        parser.error(f"unknown check {', '.join(sorted(unknown))}; there are {', '.join(CHECKS)}")
    lint = Lint(checks)
    lint.start()
    failures = lint.failures()
    print("\n".join(failures), end="\n" if failures else "", file=sys.stderr)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
