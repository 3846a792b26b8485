"""The list of runs: the newest, and all that are open."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from farm.model import RunState
from farm.state.store import OPEN_RUNS, RUNS, run_key

if TYPE_CHECKING:
    from farm.state.store import Store


def list_runs(store: Store, most: int = 20) -> list[dict[str, Any]]:
    """The newest runs and all that are open: {run, state, submitter, created, finished, packages}."""
    newest, unfinished = store.ask([("zrevrange", RUNS, 0, most - 1), ("zrevrange", OPEN_RUNS, 0, -1)])
    states = store.ask(("hget", run_key(name, "meta"), "state") for name in unfinished)
    still_open = {name for name, state in zip(unfinished, states, strict=True) if state == RunState.OPEN}
    names = [*newest, *(name for name in unfinished if name in still_open.difference(newest))]
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
    return sum(row["state"] == RunState.OPEN for row in list_runs(store, 1))
