"""Build logs: one bounded Redis stream for each job, written in the background, read while it grows.

Only who has the job in hand writes: the token in its record fences the lines as it does all else.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from typing import TYPE_CHECKING, cast

from farm.errors import FarmError
from farm.state.records import job_field
from farm.state.runs import read_jobs
from farm.state.store import Store, follow_stream, run_key, translate_redis_errors

if TYPE_CHECKING:
    from collections.abc import Iterator

log = logging.getLogger(__name__)

MOST_LINES = 20_000
"""Lines kept of one build; the oldest go first."""
_BATCH = 500
LAST_WAIT = 15.0
"""Seconds for which the end of a build waits for its log to be stored."""
END = "end"
"""The last entry of a holder that is through; it carries the holder's token."""


def log_key(run: str, package: str, arch: str) -> str:
    """The stream of one job's log."""
    return run_key(run, f"log:{package}:{arch}")


class LogWriter:
    """Takes lines at once and stores them from a thread, so that a slow or absent Redis delays no build.

    The first line begins the log anew, so one writer serves all that a holder of the job does.
    """

    def __init__(self, store: Store, run: str, package: str, arch: str, *, token: str, keep: float) -> None:
        self._store, self._key, self._keep = store, log_key(run, package, arch), int(keep)
        self._records, self._field, self._token = run_key(run, "records"), job_field(package, arch), token
        self._begun = False
        self._lines: queue.Queue[str | None] = queue.Queue(maxsize=MOST_LINES)
        self._given_up = threading.Event()
        self._thread = threading.Thread(target=self._run, name="log", daemon=True)
        self._thread.start()

    def write(self, line: str) -> None:
        """Take a line; never fails, never waits."""
        try:
            self._lines.put_nowait(line)
        except queue.Full:
            log.warning("log %s: a line was dropped, Redis is too slow", self._key)

    def close(self) -> None:
        """Store what is left, for at most `LAST_WAIT` seconds."""
        deadline = time.monotonic() + LAST_WAIT
        try:
            self._lines.put(None, timeout=LAST_WAIT)
        except queue.Full:
            log.warning("log %s: its end is lost, Redis is too slow", self._key)
        self._thread.join(timeout=max(0.0, deadline - time.monotonic()))
        self._given_up.set()

    def _run(self) -> None:
        ours, ended = True, False
        while not (ended or self._given_up.is_set()):
            lines, ended = self._batch()
            if ours and (lines or self._begun):
                ours = self._stored(lines, END if ended else "")

    def _stored(self, lines: list[str], end: str) -> bool:
        """Store lines, or warn that they are lost; False once the job is another's."""
        begin = "" if self._begun else "new"
        facts: list[str | int] = [self._field, self._token, begin, MOST_LINES, self._keep, end]
        try:
            stored = self._store.run_script("log_append", [self._key, self._records], [*facts, *lines])
        except FarmError as error:
            log.warning("log %s: %d lines lost: %s", self._key, len(lines), error)
            return True
        if not stored:
            log.warning("log %s: ends here, the job was taken over or is gone", self._key)
        self._begun = True
        return bool(stored)

    def _batch(self) -> tuple[list[str], bool]:
        lines: list[str] = []
        line = self._lines.get()
        while line is not None:
            lines.append(line)
            if len(lines) == _BATCH or self._lines.empty():
                return lines, False
            line = self._lines.get_nowait()
        return lines, True


@translate_redis_errors
def read_log(store: Store, run: str, package: str, arch: str, *, last: int | None = None) -> list[str]:
    """The lines of a log so far; the `last` ones only, if given."""
    key = log_key(run, package, arch)
    count = None if last is None else last + 1
    entries = cast("list[tuple[str, dict[str, str]]]", store.text.xrevrange(key, count=count))
    lines = [fields["line"] for _, fields in reversed(entries) if "line" in fields]
    return lines if last is None else lines[-last:]


def follow_log(store: Store, run: str, package: str, arch: str) -> Iterator[str | None]:
    """The lines of a log from its start, as they come; None after each second without one.

    It ends with a job that has ended: at the last entry of who ended it, else where the log says no more.
    """
    for fields in follow_stream(store, log_key(run, package, arch)):
        line = fields.get("line") if fields else None
        if line is None:
            ender = fields.get(END) if fields else None
            jobs = read_jobs(store, run, package, [arch])
            if all(job.state.ended and ender in (None, job.token) for job in jobs):
                return
        yield line
