"""Leases: one holder at a time for one architecture's image, or for one index.

A lease lives a bounded time and is renewed by a thread while its holder works. A holder that dies loses it by
silence; one that slept past it finds out at the next `check`, before anything of its work is recorded.
"""

from __future__ import annotations

import logging
import secrets
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from farm.errors import LeaseLostError, StateUnavailableError
from farm.state.store import Store, lease_key

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from farm.model import Job, Reference

log = logging.getLogger(__name__)

_QUEUE_LIFE = 14 * 86400
"""Seconds that a queue of waiters outlives its last arrival, where every holder died."""


def job_lease(job: Job) -> str:
    """The lease of one architecture's image."""
    return f"{job.reference.for_arch(job.arch)}"


def index_lease(reference: Reference) -> str:
    """The lease under which a repository's indexes are published and signed.

    One for all tags of a repository, because notary keeps the signatures of all its tags in one collection.
    """
    return f"index {reference.name}"


@dataclass(frozen=True, slots=True)
class Lease:
    """A lease that was taken; `token` names this holding of it and no other."""

    name: str
    token: str
    life: float
    """Seconds after which it ends unless renewed."""


class BusyError(Exception):
    """Another holder has the lease; `holder` says who."""

    def __init__(self, holder: str) -> None:
        super().__init__(holder)
        self.holder = holder


def take(store: Store, name: str, *, life: float, holder: str, waiting: str = "") -> Lease:
    """Take a lease.

    Args:
        store: where it is kept.
        name: of `job_lease` or `index_lease`.
        life: seconds it holds without renewal.
        holder: who takes it, for people.
        waiting: what `free` hands to the present holder when the lease is busy; "" not to wait.

    Raises:
        BusyError: another holder has it.
    """
    keys = [lease_key(name, part) for part in ("lease", "queue")]
    token = f"{secrets.token_hex(8)} {holder}"
    taken, value = store.run_script("lease_take", keys, [int(life * 1000), token, waiting, _QUEUE_LIFE])
    if not taken:
        raise BusyError(str(value).partition(" ")[2])
    return Lease(name, str(value), life)


def keep(store: Store, lease: Lease) -> bool:
    """Renew a lease; False when somebody else has it, or nobody."""
    answer = store.run_script(
        "lease_keep", [lease_key(lease.name, "lease")], [lease.token, int(lease.life * 1000)]
    )
    return bool(answer)


def free(store: Store, lease: Lease) -> list[str]:
    """Give a lease back; returns what those who wait for it asked to have sent."""
    keys = [lease_key(lease.name, part) for part in ("lease", "queue")]
    return [str(item) for item in store.run_script("lease_free", keys, [lease.token])]


class Keeper:
    """Renews a lease in a thread, a quarter of its life apart, until closed."""

    def __init__(self, store: Store, lease: Lease, *, cancelled: Callable[[], bool] = lambda: False) -> None:
        self.lease = lease
        self._store = store
        self._cancelled = cancelled
        self._closed = threading.Event()
        self.lost = threading.Event()
        self.stopped = threading.Event()
        """Set when the work should end: the lease is lost, or somebody cancelled."""
        self._thread = threading.Thread(target=self._run, name=f"lease {lease.name}", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._closed.wait(min(self.lease.life / 4, 1.0)):
            try:
                if not keep(self._store, self.lease):
                    self.lost.set()
                if self.lost.is_set() or self._cancelled():
                    self.stopped.set()
                    return
            except StateUnavailableError as error:
                # A Redis that is away for a while must not end a build; the check before recording decides.
                log.warning("lease %s: %s", self.lease.name, error)

    def check(self) -> None:
        """Make sure that the lease is still ours.

        Raises:
            LeaseLostError: it is not; nothing of this work may be recorded.
        """
        if self.lost.is_set() or not keep(self._store, self.lease):
            raise LeaseLostError(f"the lease on {self.lease.name} was lost to another holder")

    def close(self) -> None:
        """Stop renewing."""
        self._closed.set()
        self._thread.join(timeout=15)


@contextmanager
def held(
    store: Store,
    lease: Lease,
    *,
    cancelled: Callable[[], bool] = lambda: False,
    send: Callable[[str], None] = lambda _: None,
) -> Iterator[Keeper]:
    """Keep a lease while the body runs, then give it back and `send` what waited for it."""
    keeper = Keeper(store, lease, cancelled=cancelled)
    try:
        yield keeper
    finally:
        keeper.close()
        for waiting in free(store, lease):
            send(waiting)
