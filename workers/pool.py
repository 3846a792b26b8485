"""The pool of a worker: it reads what its processes send without ever losing the place in their pipes.

Celery keeps a message that was read in part in its event loop, and empties that when the connection to Redis
is lost. It then read the rest of the message as the beginning of another one: the worker ended with an
UnpicklingError, or waited forever for bytes that nobody sends. It also ended if a process died in the middle
of a message, or sent one that cannot be unpickled. Here the pipe has the memory, and the process is replaced.
"""

from __future__ import annotations

import logging
import os
import pickle
import signal
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from billiard.pool import TERMINATE
from celery.concurrency import asynpool
from celery.concurrency.prefork import TaskPool

if TYPE_CHECKING:
    from collections.abc import Callable

log = logging.getLogger("farm.worker")

POOL = f"{__name__}:Prefork"
"""The pool, as Celery's setting `worker_pool` names it."""
_HEADER = 4
_LARGEST = 64 << 20
"""Bytes of one message: its length is believed up to this."""
_WAIT = 0.5
"""Seconds for one wait for a message while the pool ends."""


class UnreadableError(Exception):
    """What a pool process sent is no message."""


class Inbox:
    """The messages in one pipe: a length of four bytes, then a pickle, never read beyond its end."""

    def __init__(self) -> None:
        self._data = bytearray()

    def receive(self, pipe: int) -> Any:
        """The next message, or None if it has not arrived completely; reads its length and body once each.

        Raises:
            EOFError: the pipe ended.
            UnreadableError: these bytes are no message, and nothing after them can be read.
        """
        for _ in ("length", "body"):
            if missing := self._missing():
                self._data += _read(pipe, missing)
        if self._missing():
            return None
        message, self._data = self._data[_HEADER:], bytearray()
        try:
            return pickle.loads(message)  # noqa: S301 - from a child of this process
        except Exception as error:
            raise UnreadableError(f"{type(error).__name__}: {error}") from error

    def empty(self, pipe: int) -> None:
        """Discard the rest, after the end of the process that wrote it; another one will use the pipe."""
        self._data.clear()
        try:
            while os.read(pipe, _LARGEST):
                pass
        except OSError:  # there is no more
            return

    def _missing(self) -> int:
        if len(self._data) < _HEADER:
            return _HEADER - len(self._data)
        size = int.from_bytes(self._data[:_HEADER], signed=True)
        if not 0 <= size <= _LARGEST:
            raise UnreadableError(f"a message of {size} bytes")
        return _HEADER + size - len(self._data)


def _read(pipe: int, size: int) -> bytes:
    """What the pipe has, up to a size."""
    try:
        data = os.read(pipe, size)
    except BlockingIOError:
        return b""
    if not data:
        raise EOFError
    return data


class ResultPipes(asynpool.ResultHandler):
    """Reads the pipes of a pool's processes."""

    fileno_to_outq: dict[int, Any]
    on_state_change: Callable[[Any], None]

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._inboxes: WeakKeyDictionary[Any, Inbox] = WeakKeyDictionary()

    def inbox(self, process: Any) -> Inbox:
        """The inbox of a process's pipe, which the process may have taken over from another one."""
        return self._inboxes.setdefault(process.outq._reader, Inbox())  # noqa: SLF001 - billiard has no other

    def take(self, process: Any) -> bool:
        """Process one message of a process, if it is complete; False if no other one can follow."""
        try:
            message = self.inbox(process).receive(process.outqR_fd)
        except (OSError, EOFError):
            return False
        except UnreadableError as error:
            log.error(  # noqa: TRY400 - the traceback of unpickling says nothing
                "pool process %d sent something unreadable, and is replaced: %s", process.pid, error
            )
            if process.is_alive():
                os.kill(process.pid, signal.SIGKILL)
            return False
        if message:
            self.on_state_change(message)
        return True

    def _make_process_result(self, hub: Any) -> Callable[[int], None]:
        def on_readable(pipe: int) -> None:
            process = self.fileno_to_outq.get(pipe)
            if process is None or not self.take(process):
                hub.remove_reader(pipe)

        return on_readable

    def _flush_outqueue(self, fd: int, remove: Callable[[int], None], process_index: Any, _: Any) -> None:
        """Process one message while the pool ends, waiting a moment for it."""
        process = process_index.get(fd)
        try:
            if process is None or (process.outq._reader.poll(_WAIT) and not self.take(process)):  # noqa: SLF001
                remove(fd)
        except OSError:
            remove(fd)


class Pool(asynpool.AsynPool):
    """Celery's pool, with these pipes."""

    ResultHandler = ResultPipes
    _result_handler: ResultPipes
    _state: int

    def process_flush_queues(self, proc: Any) -> None:
        """Process what a process sent before it ended, and leave the pipe empty for the next one."""
        pipe, results = proc.outq._reader, self._result_handler  # noqa: SLF001
        if pipe.closed:
            return
        while self._state != TERMINATE and pipe.poll(0) and results.take(proc):
            pass
        results.inbox(proc).empty(proc.outqR_fd)


class Prefork(TaskPool):
    """Celery's prefork pool, with these pipes."""

    Pool = Pool
