"""Build logs: one bounded Redis stream for each job, written in the background, read while it grows.

Only the holder of the job's lease writes: the fencing token in the record protects the log, too.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from typing import TYPE_CHECKING

from farm.errors import FarmError
from farm.state.following import run_is_gone
from farm.state.runs import read_job
from farm.state.store import follow_stream

if TYPE_CHECKING:
    from collections.abc import Iterator

    from farm.state.run_handles import JobHandle

log = logging.getLogger(__name__)

MAX_LINES = 20_000
"""Lines kept of one build; the oldest are dropped first."""
_BATCH = 500
CLOSE_TIMEOUT = 15.0
"""Seconds that the end of a build waits for its log to be stored."""
END = "end"
"""The field of a holder's last entry; its value is the holder's token."""


def log_key(job: JobHandle) -> str:
    """The stream of one job's log."""
    return job.run.key(f"log:{job.package}:{job.arch}")


class LogWriter:
    """Accepts lines at once and stores them from a thread, so that a slow or absent Redis delays no build.

    Its first line clears the log, so one holder of the job's lease uses one writer for everything.
    """

    def __init__(self, job: JobHandle, *, token: str, keep: float) -> None:
        self._job, self._token, self._keep = job, token, int(keep)
        self._key = log_key(job)
        self._started = False
        self._gap = self._dropped = 0
        """Lines that found the queue full: since the last accepted one, and in all."""
        self._lost = 0
        """Lines that Redis did not take, since the last ones that it did."""
        self._lines: queue.Queue[str | None] = queue.Queue(maxsize=MAX_LINES)
        self._abandoned = threading.Event()
        self._thread = threading.Thread(target=self._run, name="log", daemon=True)
        self._thread.start()

    def write(self, line: str) -> None:
        """Accept a line; never fails, never waits. Where lines were dropped, the log says how many."""
        try:
            self._report_gap(0)
            self._lines.put_nowait(line)
        except queue.Full:
            self._gap += 1

    def _report_gap(self, timeout: float) -> None:
        if self._gap:
            self._lines.put(f"[{self._gap} lines were dropped here: Redis was too slow]", timeout=timeout)
            self._dropped, self._gap = self._dropped + self._gap, 0

    def close(self) -> None:
        """Store the remaining lines, for at most `CLOSE_TIMEOUT` seconds."""
        deadline = time.monotonic() + CLOSE_TIMEOUT
        if dropped := self._dropped + self._gap:
            log.warning("log %s: %d lines were dropped, Redis is too slow", self._key, dropped)
        try:
            self._report_gap(CLOSE_TIMEOUT)
            self._lines.put(None, timeout=max(0.0, deadline - time.monotonic()))
        except queue.Full:
            log.warning("log %s: its end is lost, Redis is too slow", self._key)
        self._thread.join(timeout=max(0.0, deadline - time.monotonic()))
        self._abandoned.set()

    def _run(self) -> None:
        owned, ended = True, False
        while not (ended or self._abandoned.is_set()):
            lines, ended = self._batch()
            if owned and (lines or self._started):
                owned = self._store(lines, END if ended else "")
        self._report_lost()

    def _store(self, lines: list[str], end: str) -> bool:
        """Store lines, or count them as lost; False once another holder has the job."""
        start = "" if self._started else "new"
        keys = [self._key, self._job.run.key("records")]
        options: list[str | int] = [self._job.field, self._token, start, MAX_LINES, self._keep, end]
        try:
            stored = self._job.store.run_script("log_append", keys, [*options, *self._after_lost(lines)])
        except Exception as error:
            # Whatever it is, the thread must go on: the end of the build waits for it.
            if not self._lost:
                unexpected = not isinstance(error, FarmError)
                log.warning("log %s: lines are lost: %s", self._key, error, exc_info=unexpected)
            self._lost += len(lines)
            return True
        self._report_lost()
        if not stored:
            log.warning("log %s: ends here, the job was taken over or is gone", self._key)
        self._started = True
        return bool(stored)

    def _after_lost(self, lines: list[str]) -> list[str]:
        if not self._lost:
            return lines
        return [f"[{self._lost} lines were lost here: Redis did not take them]", *lines]

    def _report_lost(self) -> None:
        if self._lost:
            log.warning("log %s: %d lines were lost", self._key, self._lost)
            self._lost = 0

    def _batch(self) -> tuple[list[str], bool]:
        lines: list[str] = []
        line = self._lines.get()
        while line is not None:
            lines.append(line)
            if len(lines) == _BATCH or self._lines.empty():
                return lines, False
            line = self._lines.get_nowait()
        return lines, True


def read_log(job: JobHandle, *, last: int | None = None) -> list[str]:
    """The lines of a log so far; only the `last` ones, if given."""
    # One more, since the last entry may be the end.
    count = None if last is None else last + 1
    (entries,) = job.store.ask([("xrevrange", log_key(job), "+", "-", count)])
    lines = [fields["line"] for _, fields in reversed(entries) if "line" in fields]
    return lines if last is None else lines[-last:]


def follow_log(job: JobHandle) -> Iterator[str | None]:
    """The lines of a log from its start, as they arrive; None after each second without one.

    Once the job has ended, the lines end with the last entry of the holder that ended it, or when no line
    arrives. If the run is gone it is a StateError.
    """
    for fields in follow_stream(job.store, log_key(job)):
        line = fields.get("line") if fields else None
        if line is None:
            ended_by = fields.get(END) if fields else None
            record = read_job(job)
            if record is None:
                raise run_is_gone(job.run)
            if record.state.ended and ended_by in (None, record.token):
                return
        yield line
