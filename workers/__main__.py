"""One worker process: `python -m workers`, which `farm worker` executes."""

from __future__ import annotations

import argparse
import logging
import sys
import threading
from typing import TYPE_CHECKING, Any, NoReturn

from celery.signals import celeryd_after_setup, worker_ready, worker_shutting_down
from tenacity import RetryCallState, Retrying, retry_if_exception_type, wait_exponential_jitter

from farm.builders.pruning import unseen_disk
from farm.errors import FarmError, StateUnavailableError
from farm.scheduling.celery_app import Priority, make_app, redis_list
from farm.scheduling.reconciler import keep_reconciling
from farm.scheduling.transport import Channel
from farm.settings import load_settings
from farm.state.redis_checks import check_queues, check_redis
from farm.state.workers import is_drained
from farm.syntax.log_format import log_to_stderr
from farm.syntax.printable import one_line
from tasks.disk_space import disk_trouble
from tasks.worker_context import configure, worker_context
from workers.admission import UnknownFields, admission, role_tasks
from workers.graceful_shutdown import GracefulShutdown
from workers.heartbeat import Heartbeat
from workers.pool import POOL
from workers.queue_control import QueueControl
from workers.reconnect import Consumer, Events
from workers.remote_control import refuse_changes
from workers.role import Role, find_role

if TYPE_CHECKING:
    from collections.abc import Sequence

    from celery import Celery

    from farm.settings import Settings
    from farm.state.store import Store

log = logging.getLogger("farm.worker")

_LONGEST_PAUSE = 15.0
"""Seconds between two attempts to reach Redis at the start."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Check that this machine can fill the role, then run until a signal; returns the exit code."""
    options = _parse(arguments)
    log_to_stderr()
    try:
        settings = load_settings({})
        return run(settings, find_role(settings, options.arch, publisher=options.publish, name=options.name))
    except FarmError as error:
        if options.debug:
            raise
        print(f"farm worker: {one_line(str(error))}", file=sys.stderr)  # noqa: T201 - the only output of a worker that does not start
        return error.exit_code


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m workers", description="Started by `farm worker`.")
    parser.add_argument("--arch", action="append", default=[])
    parser.add_argument("--publish", action="store_true")
    parser.add_argument("--name", default="")
    parser.add_argument("--debug", action="store_true")
    return parser.parse_args(arguments)


def run(settings: Settings, role: Role) -> NoReturn:
    """Consume the role's queues until a signal ends the process (see `workers.graceful_shutdown`)."""
    app, name = make_app(settings), role.worker.name
    app.conf.worker_consumer = f"{Consumer.__module__}:{Consumer.__name__}"
    app.events_cls = f"{Events.__module__}:{Events.__name__}"
    app.conf.worker_pool = POOL
    refuse_changes()
    arches, publisher = role.worker.arches, role.worker.publisher
    configure(settings, name)
    unknown = UnknownFields(worker_context().flags.unknown)
    Channel.admit = admission(arches, publisher=publisher, on_unknown=unknown.note)
    store = worker_context().store
    await_redis(store)
    check_queues(store, (redis_list(queue, priority) for queue in role.queues for priority in Priority))
    for module in role_tasks(arches, publisher=publisher):
        app.loader.import_module(module)
    # Takes 90 ms, which the first job of each pool process would take longer.
    app.loader.import_module("securesystemslib.dsse")
    queues = QueueControl(role.queues, open_=not is_drained(store, name))
    if role.engine_root and (unseen := unseen_disk(settings, role.engine_root)):
        log.warning("%s", unseen)
    heartbeat = Heartbeat(
        store, role.worker, queues, lambda: disk_trouble(settings, role.engine_root) or unknown.trouble
    )
    _start_when_ready(app, heartbeat, queues)
    if publisher:
        _reconcile_when_ready(app, store, name, settings)
    log.info("%s consumes %s", name, ", ".join(role.queues) if queues.open else "nothing: it is drained")
    try:
        app.worker_main(
            [
                "worker",
                f"--hostname={name}",
                f"--queues={','.join(role.queues)}",
                f"--concurrency={settings.concurrency}",
                "--loglevel=INFO",
                "--without-gossip",
                "--without-mingle",
            ]
        )
    finally:
        heartbeat.stop()


def await_redis(store: Store) -> None:
    """Return when Redis answers, however long that takes: a machine may boot before its network is up.

    It is an error if work would be lost in that Redis.
    """

    def warn(state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        log.warning("%s; trying again in %.0f s", error, state.upcoming_sleep)

    retrying = Retrying(
        retry=retry_if_exception_type(StateUnavailableError),
        wait=wait_exponential_jitter(initial=1, max=_LONGEST_PAUSE, jitter=1),
        before_sleep=warn,
    )
    for warning in retrying(check_redis, store).warnings:
        log.warning("Redis: %s", warning)


def _start_when_ready(app: Celery, heartbeat: Heartbeat, queues: QueueControl) -> None:
    """Start heartbeats, queue control and signal handlers when the worker begins to accept tasks."""

    def start(sender: Any, **_: Any) -> None:
        queues.attach(sender)
        GracefulShutdown(worker_context().flags.leaving, heartbeat.stop).install()
        heartbeat.start()

    celeryd_after_setup.connect(lambda **_: queues.prepare(app), weak=False)
    worker_ready.connect(start, weak=False)


def _reconcile_when_ready(app: Celery, store: Store, name: str, settings: Settings) -> None:
    """Run the reconciler in a thread beside the publisher's own work."""
    stopped = threading.Event()
    reconciler = threading.Thread(
        target=keep_reconciling,
        args=(app, store),
        kwargs={"name": name, "keep": settings.keep, "stop": stopped},
        name="reconciler",
        daemon=True,
    )

    worker_ready.connect(lambda **_: reconciler.start(), weak=False)
    worker_shutting_down.connect(lambda **_: stopped.set(), weak=False)


if __name__ == "__main__":
    sys.exit(main())
