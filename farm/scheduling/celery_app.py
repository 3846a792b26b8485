"""The Celery application: its queues, settings with which no work is lost, and changes to its classes."""

from __future__ import annotations

import contextlib
import socket
from enum import IntEnum
from typing import TYPE_CHECKING, Any

from celery import Celery
from celery.app.amqp import AMQP
from celery.backends.redis import RedisBackend
from celery.utils import imports
from kombu import Queue

from farm.errors import SettingsError
from farm.model import ARCHES
from farm.scheduling.transport import use_bounded_channels
from farm.state.bounded_answers import BOUNDED

if TYPE_CHECKING:
    from collections.abc import Mapping

    from farm.settings import Secret, Settings

BUILD = "farm.build_and_push"
PUBLISH = "farm.publish_manifest"
SETTLE = "farm.settle_package"
PUBLISH_QUEUE = "publish"
"""In the place of a queue, for what Flower has not acknowledged."""

# Celery imports what it loads by name from the current directory first: a stranger's repository, perhaps.
imports.cwd_in_path = contextlib.nullcontext  # type: ignore[assignment]  # it is used as a context only

_DAY = 86400
COMMAND_TRIES = 5
"""Attempts to reach Redis when a person waits for the command."""
_WORKER_TRIES = 1000
_MAX_BUILDS, _MARGIN = 6, 3600
"""Time limits of a build, and seconds, after which the pool kills a task.

A task may build twice, push several times and wait for Redis; one that takes longer hangs where no other
limit applies.
"""
_ANSWER_TIMEOUT, _CONNECT_TIMEOUT = 30, 10
"""Seconds for one answer of Redis, and for a connection to it."""
_KEEPALIVE = {
    getattr(socket, name): value
    for name, value in {"TCP_KEEPIDLE": 30, "TCP_KEEPINTVL": 10, "TCP_KEEPCNT": 3}.items()
    if hasattr(socket, name)
}
"""With these a connection counts as dead a minute after the network dropped it without notice."""


def build_queue(arch: str) -> str:
    """The queue of one architecture's jobs."""
    return f"build.{arch}"


class Priority(IntEnum):
    """The priority of a message: each has a list of its own in Redis, and the lowest is served first.

    Every message has one of these, because Celery's defaults differ: 0 where a task's name is all that is
    known, and `task_default_priority` where the task was imported.
    """

    REQUEUED = 0
    """sent again: a worker had taken it from the head of its queue, or would have, had it not been lost"""
    NEW = 5
    """sent for the first time"""


def redis_list(queue: str, priority: Priority) -> str:
    """The list in Redis of the messages with this priority, oldest last.

    https://docs.celeryq.dev/projects/kombu/en/stable/reference/kombu.transport.redis.html
    (`Channel._q_for_pri`, with the separator of the option `sep`).
    """
    return f"{queue}\x06\x16{priority:d}" if priority else queue


QUEUES: tuple[str, ...] = (*(build_queue(arch) for arch in ARCHES), PUBLISH_QUEUE)


def make_app(settings: Settings, *, tries: int = _WORKER_TRIES) -> Celery:
    """Make the Celery application of a farm; few `tries` to reach Redis where a person waits for it."""
    if settings.broker is None:
        raise SettingsError("no broker is set", hint="set FARM_BROKER=redis://HOST:6379/0")
    use_bounded_channels()
    url = _kombu_url(settings.broker)
    app = Celery("farm", broker=url, backend=url, amqp=f"{__name__}:Messages", set_as_current=True)
    app.loader.override_backends = dict.fromkeys(("redis", "rediss", "redis+socket"), f"{__name__}:Results")
    app.conf.update(_configuration(settings, tries))
    return app


def _kombu_url(broker: Secret) -> str:
    """The URL as Celery spells it: a Redis on a unix socket has another scheme there."""
    url = broker.reveal()
    return f"redis+socket://{url.removeprefix('unix://')}" if url.startswith("unix://") else url


class Messages(AMQP):
    """Celery's messages, with the task's title as its name in the event `task-sent` too.

    Celery puts the name of the function there. Flower keeps the name of the last event: if `task-sent`
    arrived after the worker's events, Flower forgot which package and architecture a task is for.
    """

    def as_task_v2(self, *args: Any, **options: Any) -> Any:
        """Return the message of a task, with its event."""
        message = super().as_task_v2(*args, **options)
        if message.sent_event and message.headers["shadow"]:
            message.sent_event["name"] = message.headers["shadow"]
        return message


class Results(RedisBackend):
    """Celery's result backend, without subscriptions: the farm reads results from its own state.

    A subscription ends when Python collects garbage, or when the sender exits. While Redis was away that
    blocked the sender for minutes, and printed errors after the last line of a command. Results are read in
    bounded memory.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.connparams |= BOUNDED  # type: ignore[attr-defined]  # not in its stubs

    def on_task_call(self, producer: Any, task_id: str) -> None:
        """Do nothing, where Celery subscribes to a single task."""

    def open_chords(self, sizes: Mapping[str, int]) -> None:
        """Begin chords, by the id of their group, in one round trip; `set_chord_size` begins one in two."""
        self.ensure(self._open_chords, (sizes,))

    def _open_chords(self, sizes: Mapping[str, int]) -> None:
        with self.client.pipeline(transaction=False) as pipeline:
            # The stubs do not know `chord_expires`.
            life: int | None = self.chord_expires or None  # type: ignore[attr-defined]
            for group, size in sizes.items():
                pipeline.delete(self.get_key_for_group(group, ".c"))
                pipeline.set(self.get_key_for_group(group, ".s"), size, ex=life)
            pipeline.execute()

    def add_pending_result(self, result: Any, *_: Any, **__: Any) -> Any:
        """Do nothing, where Celery subscribes to each task of a chord."""
        return result


def _configuration(settings: Settings, tries: int) -> dict[str, Any]:
    """Each setting answers a fault that was observed: see docs/reliability.md."""
    return _connection_settings(tries) | {
        "task_queues": [Queue(name, routing_key=name) for name in QUEUES],
        "task_default_queue": PUBLISH_QUEUE,
        # A misspelled queue is an error instead of a queue that nobody consumes.
        "task_create_missing_queues": False,
        # With Redis, late acknowledgement starts a long build again at every visibility_timeout:
        # https://github.com/celery/celery/issues/5935
        "task_acks_late": False,
        # A prefetched job would wait behind a long build while another worker is idle.
        "worker_disable_prefetch": True,
        "worker_prefetch_multiplier": 1,
        "worker_pool": "prefork",
        # Messages are acknowledged early, so a build need not end with the connection to Redis.
        "worker_cancel_long_running_tasks_on_connection_loss": False,
        "worker_proc_alive_timeout": 60,
        "worker_hijack_root_logger": False,
        "task_time_limit": _MAX_BUILDS * settings.build_timeout + _MARGIN,
        "task_serializer": "json",
        "result_serializer": "json",
        "accept_content": ["json"],
        "task_retry_on_worker_lost": True,
        "task_send_sent_event": True,
        "worker_send_task_events": True,
    }


def _connection_settings(tries: int) -> dict[str, Any]:
    """How long results are kept, and how Redis is reached."""
    return {
        "result_expires": 3 * _DAY,
        "result_chord_expires": 14 * _DAY,
        "result_backend_always_retry": True,
        "result_backend_transport_options": {
            "retry_policy": {
                "max_retries": tries,
                "interval_start": 0.1,
                "interval_step": 0.5,
                "interval_max": 5,
            }
        },
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,
        "broker_channel_error_retry": True,
        "broker_transport_options": {
            # With it a message is delivered again an hour after its worker died, or whenever somebody writes
            # into Redis. The reconciler finds what was lost.
            "ack_emulation": False,
            "priority_steps": [int(priority) for priority in Priority],
            "socket_timeout": _ANSWER_TIMEOUT,
            "socket_connect_timeout": _CONNECT_TIMEOUT,
            "socket_keepalive": True,
            "socket_keepalive_options": _KEEPALIVE,
        },
        "redis_socket_timeout": _ANSWER_TIMEOUT,
        "redis_socket_connect_timeout": _CONNECT_TIMEOUT,
        "redis_retry_on_timeout": True,
    }
