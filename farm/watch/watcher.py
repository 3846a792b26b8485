"""The watch: look for new heads, handle each in a thread; repeat until it is stopped.

It may be killed at any line. What was done with a head is in a file, its runs are submitted once under a key
that follows from the head, and whether something is left to do is asked of the registry.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from farm.errors import CancelledError, FarmError, NotAllowedError, RunInterruptedError, internal_error
from farm.watch.handle_head import ReplacedError
from farm.watch.heads import Head, branch_ref

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from farm.watch.handle_head import HeadHandler

log = logging.getLogger(__name__)

_FIRST_PAUSE, _LONGEST_PAUSE = 5.0, 600.0
"""Seconds before what failed for now is tried again; the pause doubles each time."""
_LEAST = ((NotAllowedError, 3600.0), (RunInterruptedError, 300.0))
"""Seconds before it is checked again whether a commit may be built, and before another run of it."""
_LEAST_PAUSE = 1.0
"""Seconds between two looks, whatever happens."""


@dataclass(slots=True)
class _Pause:
    """When something is tried again."""

    until: float = 0.0
    length: float = _FIRST_PAUSE
    commit: str = ""
    """Of the head that failed; a newer one does not wait."""
    said: str = ""
    """The error that was logged, so that the same one is logged once."""

    def extend(self, least: float = 0.0) -> None:
        self.until = time.monotonic() + max(self.length, least)
        self.length = min(2 * self.length, _LONGEST_PAUSE)

    def warn(self, what: str) -> None:
        if what and what != self.said:
            log.warning("%s", what)
        self.said = what


@dataclass(eq=False)
class Watcher:
    """One watch of one repository."""

    handler: HeadHandler
    every: float = 60.0
    """Seconds between two looks."""
    _heads: dict[str, Head] = field(default_factory=dict)
    """What the last look found, by ref."""
    _busy: set[str] = field(default_factory=set)
    """Refs that are handled, or wait for it."""
    _pauses: dict[str, _Pause] = field(default_factory=dict)
    _lock: threading.RLock = field(default_factory=threading.RLock)
    """Over what is busy, and the pauses."""
    _looks: _Pause = field(default_factory=_Pause)
    """Of looks that failed."""
    _pulls: Sequence[Head] = ()
    _listing: _Pause = field(default_factory=_Pause)
    """Of lists of pull requests that failed."""
    _missing: _Pause = field(default_factory=_Pause)
    """Of branches that do not exist."""
    _absent: Collection[str] = frozenset()
    """Refs that the last look did not find."""
    _woken: threading.Event = field(default_factory=threading.Event)
    _stopped: threading.Event = field(default_factory=threading.Event)

    def wake(self) -> None:
        """Look at once."""
        self._woken.set()

    def run(self) -> None:
        """Watch until KeyboardInterrupt; runs that were submitted go on."""
        self.handler.clone.prepare()
        # Each branch has a thread; pull requests wait for one another.
        branches, pulls = ThreadPoolExecutor(len(self.handler.options.branches)), ThreadPoolExecutor(1)
        try:
            while True:
                self._woken.clear()
                self._woken.wait(self._try_to_look(branches, pulls))
                self._stopped.wait(_LEAST_PAUSE)
        finally:
            self._stopped.set()
            self.handler.commands.children.close()
            for pool in (branches, pulls):
                pool.shutdown(cancel_futures=True)

    def _try_to_look(self, branches: ThreadPoolExecutor, pulls: ThreadPoolExecutor) -> float:
        """Look once; returns the seconds until the next look, with jitter."""
        try:
            self._look(branches, pulls)
        except Exception as error:
            if not isinstance(error, FarmError | OSError):
                log.exception("looking for new commits")
            self._looks.warn(f"cannot look for new commits: {error}")
            self._looks.extend()
            pause = self._looks.until - time.monotonic()
        else:
            self._looks = _Pause()
            with self._lock:
                idle = self._heads.keys() - self._busy
                waiting = [pause for ref, pause in self._pauses.items() if ref in idle]
            pause = min([self.every, *(one.until - time.monotonic() for one in waiting)])
        return max(_LEAST_PAUSE, pause) * random.uniform(1.0, 1.1)  # noqa: S311 - no secret

    def _look(self, branches: ThreadPoolExecutor, pulls: ThreadPoolExecutor) -> None:
        """Find heads that are not done, and start to handle them."""
        heads, complete = self._find_heads()
        with self._lock:
            self._heads = {head.ref: head for head in heads}
            for head in heads:
                if head.ref not in self._busy and self._is_due(head):
                    self._busy.add(head.ref)
                    (pulls if head.pull_request else branches).submit(self._handle, head.ref)
        if complete:
            self._forget_absent(heads)

    def _find_heads(self) -> tuple[list[Head], bool]:
        """The heads, and whether these are all pull requests."""
        handler = self.handler
        found = handler.clone.newest([branch_ref(branch) for branch in handler.options.branches])
        missing = [one for one in handler.options.branches if branch_ref(one) not in found]
        self._missing.warn(f"the repository has no branch {', '.join(missing)}" if missing else "")
        complete = True
        if handler.options.pull_requests and handler.forge:
            try:
                self._pulls = handler.forge.pull_requests(handler.options.branches)
                self._listing = _Pause()
            except FarmError as error:
                # Branches must not wait for the forge.
                self._listing.warn(f"cannot look for pull requests: {error}")
                complete = False
        return [*(Head(ref, commit) for ref, commit in found.items()), *self._pulls], complete

    def _forget_absent(self, heads: Sequence[Head]) -> None:
        """Forget pull requests that two looks did not find: one may miss what moves between two pages."""
        with self._lock:
            kept = {branch_ref(branch) for branch in self.handler.options.branches} | self._busy
            present = kept | {head.ref for head in heads}
            gone, handled = set(self._absent) - present, self.handler.handled
            handled.forget(lambda ref: ref in gone)
            self._pauses = {ref: pause for ref, pause in self._pauses.items() if ref not in gone}
            self._absent = {ref for ref in handled.refs() if ref not in present}
        places = {head.base_place for head in heads if head.pull_request}
        self.handler.clone.forget({*present, *self._absent, *places})

    def _is_due(self, head: Head) -> bool:
        handled, pause = self.handler.handled.of(head.ref), self._pauses.get(head.ref)
        if pause and pause.commit == head.commit and time.monotonic() < pause.until:
            return False
        if not handled or handled.commit != head.commit or not handled.done:
            return True
        return self.handler.reports and not handled.reported

    def _handle(self, ref: str) -> None:
        """Handle what is the head of a ref now, in a thread; it is recorded, tried again, or both."""
        with self._lock:
            head = self._heads.get(ref)
        try:
            if head and not self._stopped.is_set():
                self.handler.carry_out(head)
            with self._lock:
                self._pauses.pop(ref, None)
        except Exception as error:
            if not isinstance(error, FarmError | OSError):
                log.exception("%s", ref)
                error = internal_error(error, hint="its traceback is in the log of the watch")
            if head:
                self._try_again(head, error)
        finally:
            with self._lock:
                self._busy.discard(ref)
            # A newer commit may have come, and the webhook about it.
            self.wake()

    def _try_again(self, head: Head, error: Exception) -> None:
        if isinstance(error, CancelledError) and self._stopped.is_set():
            log.info("%s: continues when the watch is started again", head)
            return
        with self._lock:
            pause = self._pauses.get(head.ref)
            if pause is None or pause.commit != head.commit:
                pause = self._pauses[head.ref] = _Pause(commit=head.commit)
            pause.extend(next((least for kind, least in _LEAST if isinstance(error, kind)), 0.0))
            if not isinstance(error, NotAllowedError | ReplacedError):
                pause.warn(f"{head}: {error}; it is tried again")
