"""The list of runs: the newest, and all that are open."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from farm.model import RunState
from farm.state.store import OPEN_RUNS, RUNS, run_key

if TYPE_CHECKING:
    from collections.abc import Sequence

    from farm.state.store import Store


def list_runs(store: Store, most: int = 20) -> list[dict[str, Any]]:
    """The newest runs and all that are open: {run, state, submitter, created, finished, packages}."""
    newest, unfinished = store.ask([("zrevrange", RUNS, 0, most - 1), ("zrevrange", OPEN_RUNS, 0, -1)])
    older = set(_still_open(store, unfinished)).difference(newest)
    names = [*newest, *(name for name in unfinished if name in older)]
    metas = store.ask(("hgetall", run_key(name, "meta")) for name in names)
    counts = store.ask(("hlen", run_key(name, "works")) for name in names)
    rows = zip(names, metas, counts, strict=True)
    return [_row(name, meta, count) for name, meta, count in rows if "state" in meta]


def _row(name: str, meta: dict[str, str], packages: int) -> dict[str, Any]:
    return {
        "run": name,
        "state": meta["state"],
        "submitter": meta["submitter"],
        "created": float(meta["created"]),
        "finished": float(meta["finished"]) if "finished" in meta else None,
        "packages": packages,
    }


def count_open_runs(store: Store) -> int:
    """How many runs have not ended."""
    (unfinished,) = store.ask([("zrange", OPEN_RUNS, 0, -1)])
    return len(_still_open(store, unfinished))


def _still_open(store: Store, names: Sequence[str]) -> list[str]:
    """Those of the runs that have not ended."""
    states = store.ask(("hget", run_key(name, "meta"), "state") for name in names)
    return [name for name, state in zip(names, states, strict=True) if state == RunState.OPEN]
