"""Leases: one holder at a time for one architecture's image, or for one index.

A lease lives a bounded time and is renewed by a thread while its holder works. A holder that dies loses it by
silence; one that slept past it finds out at the next `check`, before anything of its work is recorded. What
fences is the record, which carries the token of the lease under which it is worked on.
"""

from __future__ import annotations

import logging
import secrets
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from farm.errors import FarmError, LeaseLostError, StateUnavailableError
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
    """Renew a lease, also one that ran out and that nobody took; False when somebody else has it."""
    answer = store.run_script(
        "lease_keep", [lease_key(lease.name, "lease")], [lease.token, int(lease.life * 1000)]
    )
    return bool(answer)


def free(store: Store, lease: Lease) -> list[str]:
    """Give a lease back; returns what those who wait for it asked to have sent."""
    keys = [lease_key(lease.name, part) for part in ("lease", "queue")]
    return [str(item) for item in store.run_script("lease_free", keys, [lease.token])]


class Keeper:
    """Renews a lease in a thread, a quarter of its life apart, until closed or no longer ours."""

    def __init__(self, store: Store, lease: Lease) -> None:
        self.lease = lease
        self._store = store
        self._ours: Callable[[], bool] = lambda: True
        self._closed = threading.Event()
        self.stopped = threading.Event()
        """Set when the work should end: it was taken over or cancelled, or its record is gone."""
        self._thread = threading.Thread(target=self._run, name=f"lease {lease.name}", daemon=True)
        self._thread.start()

    def only_while(self, ours: Callable[[], bool]) -> None:
        """Keep the lease from now on only while its record says that the work is ours."""
        self._ours = ours

    def _run(self) -> None:
        while not self._closed.wait(min(self.lease.life / 4, 1.0)):
            try:
                self.check()
            except StateUnavailableError as error:
                # A Redis that is away for a while must not end a build; the check before recording decides.
                log.warning("lease %s: %s", self.lease.name, error)
            except FarmError as error:
                log.warning("%s", error)
                self.stopped.set()
                return

    def check(self) -> None:
        """Make sure that the work is still ours, and its lease with it.

        Raises:
            LeaseLostError: it is not; nothing of this work may be recorded.
            StateUnavailableError: Redis does not answer, so that nobody knows.
        """
        if self.stopped.is_set() or not self._ours() or not keep(self._store, self.lease):
            raise LeaseLostError(f"{self.lease.name}: was taken over or cancelled")

    def close(self) -> None:
        """Stop renewing."""
        self._closed.set()
        self._thread.join(timeout=15)


@contextmanager
def held(store: Store, lease: Lease, *, send: Callable[[str], None] = lambda _: None) -> Iterator[Keeper]:
    """Keep a lease while the body runs, then give it back and `send` what waited for it."""
    keeper = Keeper(store, lease)
    try:
        yield keeper
    finally:
        keeper.close()
        try:
            for waiting in free(store, lease):
                send(waiting)
        except StateUnavailableError as error:
            # The lease runs out by itself, and the reconciler finds who waited for it.
            log.warning("lease %s was not given back: %s", lease.name, error)
