"""One worker process: `python -m workers`, which `farm worker` executes."""

from __future__ import annotations

import argparse
import logging
import sys
import threading
from typing import TYPE_CHECKING, Any, NoReturn

from celery.signals import worker_ready, worker_shutting_down

from farm.errors import FarmError, StateUnavailableError
from farm.queue import make_app
from farm.reconcile import keep_reconciling
from farm.settings import load_settings
from farm.state.store import Store
from farm.state.workers import BEAT, beat, leave
from tasks.site import configure
from workers.role import Role, default_name, find_role

if TYPE_CHECKING:
    from collections.abc import Sequence

    from celery import Celery

    from farm.settings import Settings
    from farm.state.workers import WorkerInfo

log = logging.getLogger("farm.worker")


def main(arguments: Sequence[str] | None = None) -> int:
    """Check that the worker can do its work, then do it until told to stop; returns the exit code."""
    options = _parse(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    try:
        settings = load_settings({})
        role = find_role(settings, options.arch, publisher=options.publish)
        return run(settings, role, options.name or default_name(role))
    except FarmError as error:
        if options.debug:
            raise
        print(f"farm worker: {error}", file=sys.stderr)  # noqa: T201 - the one line for who started it
        return error.exit_code


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m workers", description="Started by `farm worker`.")
    parser.add_argument("--arch", action="append", default=[])
    parser.add_argument("--publish", action="store_true")
    parser.add_argument("--name")
    parser.add_argument("--debug", action="store_true")
    return parser.parse_args(arguments)


def run(settings: Settings, role: Role, name: str) -> NoReturn:
    """Consume the role's queues until a signal ends the process: SIGTERM lets the task in hand finish."""
    app = make_app(settings)
    if settings.broker is None:
        raise StateUnavailableError("no broker")
    store = Store(settings.broker)
    store.ping()
    configure(settings, name)
    app.loader.import_module("tasks.build_and_push")
    app.loader.import_module("tasks.publish_manifest")
    _announce(store, role.info(name, settings.concurrency))
    if role.publisher:
        _reconcile(app, store, name, settings)
    log.info("%s consumes %s", name, ", ".join(role.queues))
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


def _announce(store: Store, info: WorkerInfo) -> None:
    """Give signs of life from the moment that tasks are taken until shutdown begins."""
    ended = threading.Event()

    def live() -> None:
        while not ended.is_set():
            try:
                beat(store, info)
            except FarmError as error:
                log.warning("no sign of life given: %s", error)
            ended.wait(BEAT)

    def begin(**_: Any) -> None:
        threading.Thread(target=live, name="signs of life", daemon=True).start()

    def end(**_: Any) -> None:
        ended.set()
        try:
            leave(store, info.name)
        except FarmError as error:
            log.warning("could not say goodbye: %s", error)

    worker_ready.connect(begin, weak=False)
    worker_shutting_down.connect(end, weak=False)


def _reconcile(app: Celery, store: Store, name: str, settings: Settings) -> None:
    """Take up, beside the publisher's own work, what a death left undone anywhere in the farm."""
    ended = threading.Event()
    looking = threading.Thread(
        target=keep_reconciling,
        args=(app, store),
        kwargs={"name": name, "keep": settings.keep, "until": ended},
        name="reconciler",
        daemon=True,
    )

    def begin(**_: Any) -> None:
        looking.start()

    def end(**_: Any) -> None:
        ended.set()

    worker_ready.connect(begin, weak=False)
    worker_shutting_down.connect(end, weak=False)


if __name__ == "__main__":
    sys.exit(main())
