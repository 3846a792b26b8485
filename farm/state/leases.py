"""Leases: one holder at a time for one architecture's image, or for one repository's indexes.

A lease has a duration, and its holder renews it from a thread. A holder that dies loses the lease when it
expires; one that was suspended past that notices at the next `check`, before it records anything. The lease
only keeps work from being done twice; what protects a record is the fencing token in it. See
https://martin.kleppmann.com/2016/02/08/how-to-do-distributed-locking.html, "Making the lock safe with
fencing".
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
    from collections.abc import Callable, Iterable, Iterator

    from farm.model import Job, Reference

log = logging.getLogger(__name__)

_QUEUE_LIFE = 14 * 86400
"""Seconds that a queue of messages remains after the last arrival, where every holder died."""
_RENEWAL = 1.0
"""Seconds between two renewals at the most, so that a holder notices a cancellation within a second."""
_JOIN_TIMEOUT = 15.0
"""Seconds to wait for a renewal in progress: longer than an answer of Redis may take."""


def job_lease(job: Job) -> str:
    """The name of the lease on one architecture's image."""
    return f"{job.reference.for_arch(job.arch)}"


def index_lease(reference: Reference) -> str:
    """The name of the lease on a repository's indexes and signatures.

    It covers all tags, because notary keeps the signatures of a repository's tags in one file: two publishers
    that change it at once overwrite each other's signatures.
    """
    return f"index {reference.name}"


@dataclass(frozen=True, slots=True)
class Lease:
    """A lease that was taken."""

    name: str
    token: str
    """Its fencing token."""
    duration: float
    """Seconds after which it expires unless it is renewed."""


class LeaseBusyError(Exception):
    """Another holder has the lease."""

    def __init__(self, holder: str) -> None:
        super().__init__(holder)
        self.holder = holder
        """The name of the other holder."""


def take(store: Store, name: str, *, duration: float, holder: str, message: str = "") -> Lease:
    """Take a lease for some seconds; LeaseBusyError if another holder has it.

    If it is busy, `release` returns a message to the present holder later. `holder` is for people.
    """
    # Random for each call, so that a process that takes the same lease again is another holder. With the
    # duration, so that a lease that lasts longer, because Redis' clock was set back, is noticed.
    milliseconds = int(duration * 1000)
    token = f"{secrets.token_hex(8)}/{milliseconds} {holder}"
    taken, value = store.run_script("lease_take", _keys(name), [milliseconds, token, message, _QUEUE_LIFE])
    if not taken:
        raise LeaseBusyError(str(value).partition(" ")[2])
    return Lease(name, token, duration)


def renew(store: Store, lease: Lease) -> bool:
    """Renew a lease, also one that expired and that nobody took; False when another holder has it."""
    key, milliseconds = lease_key(lease.name, "lease"), int(lease.duration * 1000)
    return bool(store.run_script("lease_renew", [key], [lease.token, milliseconds]))


def release(store: Store, lease: Lease) -> list[str]:
    """Release a lease; returns the messages to send to those that wait for it."""
    return [str(message) for message in store.run_script("lease_release", _keys(lease.name), [lease.token])]


def held(store: Store, names: Iterable[str]) -> set[str]:
    """Those of some leases that somebody holds."""
    asked = list(names)
    answers = store.ask(("exists", lease_key(name, "lease")) for name in asked)
    return {name for name, exists in zip(asked, answers, strict=True) if exists}


def _keys(name: str) -> list[str]:
    return [lease_key(name, part) for part in ("lease", "queue")]


class HeldLease:
    """A lease that a thread renews until it is closed, or found to be lost."""

    def __init__(self, store: Store, lease: Lease) -> None:
        self.lease = lease
        self._store = store
        self._still_owned: Callable[[], bool] = lambda: True
        self._closed = threading.Event()
        self.stopped = threading.Event()
        """Set when the work must stop: it was taken over or cancelled, or its record is gone."""
        self._thread = threading.Thread(target=self._run, name=f"lease {lease.name}", daemon=True)
        self._thread.start()

    def renew_while(self, still_owned: Callable[[], bool]) -> None:
        """From now on renew the lease only while this is true: it looks at the record's fencing token."""
        self._still_owned = still_owned

    def _run(self) -> None:
        # A quarter of the duration leaves time for three more attempts before the lease expires.
        while not self._closed.wait(min(self.lease.duration / 4, _RENEWAL)):
            try:
                self.check()
            except StateUnavailableError as error:
                # Redis may be away for less time than the build takes; the check before recording decides.
                log.warning("lease %s: %s", self.lease.name, error)
            except FarmError as error:
                log.warning("%s", error)
                self.stopped.set()
                return
            except Exception:
                # The lease would expire, and another holder do the same work, while this one went on.
                log.exception("lease %s is not renewed any more", self.lease.name)
                self.stopped.set()
                return

    def check(self) -> None:
        """Check that the record still has this lease's token, and renew the lease.

        After a LeaseLostError nothing of this work may be recorded.
        """
        # In this order: `lease_renew` relies on the record having been checked first.
        if self.stopped.is_set() or not self._still_owned() or not renew(self._store, self.lease):
            raise LeaseLostError(f"{self.lease.name}: was taken over or cancelled")

    def close(self) -> None:
        """Stop renewing the lease."""
        self._closed.set()
        self._thread.join(timeout=_JOIN_TIMEOUT)


@contextmanager
def hold(store: Store, lease: Lease, *, send: Callable[[str], None] = lambda _: None) -> Iterator[HeldLease]:
    """Renew a lease while the body runs, then release it and `send` the messages that waited for it."""
    held = HeldLease(store, lease)
    try:
        yield held
    finally:
        # Closed before it is released: a renewal after that would take the lease again.
        held.close()
        try:
            for message in release(store, lease):
                send(message)
        except StateUnavailableError as error:
            # The lease expires, and the reconciler finds the records that wait for it.
            log.warning("lease %s was not released: %s", lease.name, error)
