"""`python -m benchmarks [NAME...]`: measure, and print each figure beside that of its peer."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks import (
    broker_makespan,
    cache_push,
    context,
    emulated,
    engine_push,
    following,
    idle_push,
    look_ups,
    makespan,
    orders,
    signed,
    startup,
    tags,
    throughput,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from benchmarks.measure import Pairs, Ratio, Row
    from benchmarks.orders import Figure

_ALL: dict[str, Callable[[argparse.Namespace], Iterable[Row | Pairs | Ratio | Figure]]] = {
    "startup": lambda options: startup.rows(options.against),
    "context": lambda _: context.rows(),
    "tags": lambda _: tags.rows(),
    "look-ups": lambda _: look_ups.rows(),
    "idle-push": lambda _: idle_push.rows(),
    "following": lambda _: following.rows(),
    "makespan": lambda _: makespan.rows(),
    "cache-push": lambda _: cache_push.rows(),
    "orders": lambda _: orders.rows(),
    "throughput": lambda options: throughput.rows(options.packages),
    "broker-makespan": lambda _: broker_makespan.rows(),
    "engine-push": lambda _: engine_push.rows(),
    "emulated": lambda _: emulated.rows(),
    "signed": lambda options: signed.rows(options.against, options.rounds),
}


def main() -> None:
    """Run the named benchmarks, or all."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks")
    parser.add_argument("names", nargs="*", choices=[[], *_ALL], help="benchmarks to run; default: all")
    parser.add_argument(
        "--against",
        type=Path,
        metavar="CHECKOUT",
        help="an older checkout, set up, to run in turn with this one",
    )
    parser.add_argument("--rounds", type=int, default=signed.ROUNDS, help="rounds of such pairs")
    parser.add_argument("--packages", type=int, default=10_000, help="packages of `throughput`")
    options = parser.parse_args()
    for name in options.names or _ALL:
        for row in _ALL[name](options):
            print(row.line(), flush=True)


if __name__ == "__main__":
    main()
