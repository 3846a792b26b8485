"""`python -m tests.fuzz --seconds N [--only NAME] [--seed S]`: exit status 1 and the inputs of findings."""

from __future__ import annotations

import argparse
import sys
import time
from typing import TYPE_CHECKING

from tests.fuzz.run import Finding, fuzz, limits
from tests.fuzz.targets import TARGETS

if TYPE_CHECKING:
    from collections.abc import Sequence

_SHOWN = 400
_MOST_FINDINGS = 5
"""Different errors of one target, after which the next one follows."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Fuzz the chosen targets, each for its share of the time, and print inputs a second and findings."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="for all targets together")
    parser.add_argument("--only", action="append", choices=sorted(TARGETS), help="a target; may be repeated")
    parser.add_argument("--seed", type=int, default=0, help="another one gives other inputs")
    chosen = parser.parse_args(arguments)
    names = chosen.only or list(TARGETS)
    findings = [one for name in names for one in _run(name, chosen.seed, chosen.seconds / len(names))]
    return 1 if findings else 0


def _run(name: str, seed: int, seconds: float) -> list[Finding]:
    found: dict[str, Finding] = {}
    begun, count = time.monotonic(), 0
    with limits():
        for finding in fuzz(name, TARGETS[name], seed, seconds):
            count += 1
            if finding:
                found.setdefault(_kind(finding.error), finding)
            if len(found) == _MOST_FINDINGS:
                break
    rate = count / max(time.monotonic() - begun, 0.001)
    print(f"{name:20} {count:9,} inputs {rate:9,.0f}/s {f'{len(found)} FINDINGS' if found else 'ok'}")
    for kind, finding in found.items():
        print(f"  {kind}\n    {finding.data[:_SHOWN]!r}", file=sys.stderr)
    return list(found.values())


def _kind(error: BaseException) -> str:
    """The error and where it was raised."""
    trace = error.__traceback__
    while trace and trace.tb_next:
        trace = trace.tb_next
    place = f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}" if trace else "?"
    return f"{type(error).__name__} at {place}: {str(error)[:_SHOWN]}"


if __name__ == "__main__":
    sys.exit(main())
