"""The names of runs, such as r42-k3f9: a number, which says their order, and characters that make it unique.

Redis may lose the last second, or everything, and then gives out a number again. A command, worker or person
that still has the name of the first run must never act on the second one.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from typing import TYPE_CHECKING

from farm.errors import StateError
from farm.state.run_handles import RunHandle
from farm.state.store import ONCE, RUN_NUMBER, RUNS, translate_redis_errors

if TYPE_CHECKING:
    from farm.state.store import Store

_CHARACTERS = "23456789abcdefghjkmnpqrstuvwxyz"
"""Without those that people take for one another."""
_LENGTH = 4


@translate_redis_errors
def new_name(store: Store) -> str:
    """Return a name for a new run that no run ever had."""
    suffix = "".join(secrets.choice(_CHARACTERS) for _ in range(_LENGTH))
    return f"r{store.text.incr(RUN_NUMBER)}-{suffix}"


def once_key(key: str) -> str:
    """Where the run is named that was submitted under a key of the submitter's choice."""
    return f"{ONCE}{hashlib.sha256(key.encode()).hexdigest()}"


def submitted_once(store: Store, key: str) -> RunHandle | None:
    """The run that was submitted under a key; None if there is none, or it has expired."""
    (name,) = store.ask([("get", once_key(key))])
    run = RunHandle(store, str(name)) if name else None
    return run if run and is_known(run) else None


def is_known(run: RunHandle) -> bool:
    """Whether the run is stored and has not expired."""
    return bool(run.store.ask([("exists", run.key("meta"))])[0])


def find_run(store: Store, name: str) -> RunHandle:
    """The run with exactly this name; a StateError names those with the same number."""
    run = RunHandle(store, name)
    if is_known(run):
        return run
    (names,) = store.ask([("zrevrange", RUNS, 0, -1)])
    near = [one for one in names if _number(one) == _number(name) and is_known(RunHandle(store, one))]
    hint = f"did you mean {' or '.join(near)}?" if near else "`farm status` lists them"
    raise StateError(f"there is no run {name}", hint=hint)


def _number(name: str) -> str:
    """The number in a name that a person may have cut off; the name itself if there is none."""
    found = re.match(r"r?(\d+)(?:-|$)", name)
    return found[1] if found else name
