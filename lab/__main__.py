"""`python -m lab up`: the lab in the foreground until Ctrl-C; `python -m lab demo`: the demo."""

from __future__ import annotations

import argparse
import shlex
import signal
import sys
import time
from typing import Any, NoReturn

from farm.errors import FarmError
from lab.demo import demo
from lab.lab import running_lab
from lab.process import LabError

_CHECK_INTERVAL = 0.5
"""Seconds between two checks that all services still run."""


def main() -> int:
    """Run one of the lab's commands; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m lab", description="The services that the demo and the tests use."
    )
    parser.add_argument("command", choices=["up", "demo"], help="run the lab until Ctrl-C, or run the demo")
    command = parser.parse_args().command
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    try:
        return demo() if command == "demo" else up()
    except KeyboardInterrupt:
        print("\nlab: interrupted; everything is stopped", file=sys.stderr)
        return 130
    except (LabError, FarmError) as error:
        print(f"lab: {error}", file=sys.stderr)
        return 1


def up() -> NoReturn:
    """Keep the lab running until a signal arrives, or one of its services ends."""
    with running_lab() as lab:
        for name, value in lab.environment().items():
            print(f"export {name}={shlex.quote(value)}")
        print(
            f"# registry {lab.registry}, notary {lab.notary_url}, data in {lab.directory}; Ctrl-C stops it",
            flush=True,
        )
        while True:
            lab.check()
            time.sleep(_CHECK_INTERVAL)


def _interrupt(*_: Any) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
