"""The Celery application: which queues there are, what goes where, and the settings that lose nothing."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

from celery import Celery
from kombu import Queue

from farm.errors import SettingsError
from farm.model import ARCHES

if TYPE_CHECKING:
    from farm.settings import Secret, Settings

BUILD = "farm.build_and_push"
PUBLISH = "farm.publish_manifest"
SETTLE = "farm.settle_package"
PUBLISH_QUEUE = "publish"

_DAY = 86400
COMMANDS_TRIES = 5
_WORKERS_TRIES = 1000
_BOUNDS, _GRACE = 6, 3600
"""A task may build twice, push often, and wait for Redis: what outlives so many bounds of one build, and so
many seconds, hangs where no bound of its own reaches, and the pool kills it."""
_ANSWER, _CONNECT = 30, 10
"""Seconds for one answer of Redis, and for a connection to it."""
_SILENT_WIRE = {
    getattr(socket, name): value
    for name, value in {"TCP_KEEPIDLE": 30, "TCP_KEEPINTVL": 10, "TCP_KEEPCNT": 3}.items()
    if hasattr(socket, name)
}
"""A minute after a way to Redis was lost without a word, its connections are known to be dead."""


def build_queue(arch: str) -> str:
    """The queue of one architecture's builds."""
    return f"build.{arch}"


QUEUES: tuple[str, ...] = (*(build_queue(arch) for arch in ARCHES), PUBLISH_QUEUE)


def make_app(settings: Settings, *, tries: int = _WORKERS_TRIES) -> Celery:
    """The Celery application for a farm whose broker is known.

    Args:
        settings: the farm's.
        tries: how often Redis is tried when it is away; few for a command, for which somebody waits.

    Raises:
        SettingsError: no broker is set.
    """
    if settings.broker is None:
        raise SettingsError("no broker is set", hint="set FARM_BROKER=redis://HOST:6379/0")
    url = _kombu_url(settings.broker)
    app = Celery(
        "farm", broker=url, backend=url, amqp="farm.scheduling.celery_compat:Messages", set_as_current=True
    )
    app.loader.override_backends = dict.fromkeys(
        ("redis", "rediss", "redis+socket"), "farm.scheduling.celery_compat:Results"
    )
    app.conf.update(_configuration(settings, tries))
    return app


def _kombu_url(broker: Secret) -> str:
    """Celery spells a Redis behind a unix socket its own way."""
    url = broker.reveal()
    return f"redis+socket://{url.removeprefix('unix://')}" if url.startswith("unix://") else url


def _configuration(settings: Settings, tries: int) -> dict[str, Any]:
    """Each line answers a fault that was seen; docs/reliability.md tells which."""
    return {
        "task_queues": [Queue(name, routing_key=name) for name in QUEUES],
        "task_default_queue": PUBLISH_QUEUE,
        "task_create_missing_queues": False,
        "task_acks_late": False,
        "worker_disable_prefetch": True,
        "worker_prefetch_multiplier": 1,
        "worker_pool": "prefork",
        "worker_cancel_long_running_tasks_on_connection_loss": False,
        "worker_proc_alive_timeout": 60,
        "worker_hijack_root_logger": False,
        "task_time_limit": _BOUNDS * settings.build_timeout + _GRACE,
        "task_serializer": "json",
        "result_serializer": "json",
        "accept_content": ["json"],
        "task_retry_on_worker_lost": True,
        "task_track_started": True,
        "task_send_sent_event": True,
        "worker_send_task_events": True,
        "task_default_priority": 5,
        "result_expires": 3 * _DAY,
        "result_chord_expires": 14 * _DAY,
        "result_extended": True,
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
            "priority_steps": list(range(10)),
            "socket_timeout": _ANSWER,
            "socket_connect_timeout": _CONNECT,
            "socket_keepalive": True,
            "socket_keepalive_options": _SILENT_WIRE,
        },
        "redis_socket_timeout": _ANSWER,
        "redis_socket_connect_timeout": _CONNECT,
        "redis_retry_on_timeout": True,
    }
