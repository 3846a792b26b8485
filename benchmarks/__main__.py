"""`python -m benchmarks [NAME...]`: measure, and print each figure beside that of its peer."""

from __future__ import annotations

import argparse

from benchmarks import cache_push, context, startup, sweep

_ALL = {"startup": startup.rows, "context": context.rows, "sweep": sweep.rows, "cache-push": cache_push.rows}


def main() -> None:
    """Run the named benchmarks, or all."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks")
    parser.add_argument("names", nargs="*", choices=[[], *_ALL], help="benchmarks to run; default: all")
    for name in parser.parse_args().names or _ALL:
        for row in _ALL[name]():
            print(row.line(), flush=True)


if __name__ == "__main__":
    main()
