"""Submit a plan: store contexts and run, then send the first tasks."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from farm.builders.build_arguments import build_args, labels
from farm.model import RunPriority
from farm.package.context_entries import list_contents
from farm.package.git_objects import commit_time
from farm.package.pack_context import pack_context
from farm.planning.expectations import read_expectations, run_ranks
from farm.planning.make_run import make_run
from farm.scheduling.celery_app import COMMAND_TRIES, make_app
from farm.scheduling.coordinator import submit_run
from farm.state.contexts import put_context
from farm.state.run_names import new_name, submitted_once
from farm.system.at_once import at_once
from farm.system.files import spool
from farm.system.identity import user_at_host
from farm.trust.orders import sign_run

if TYPE_CHECKING:
    from collections.abc import Sequence

    from farm.model import Package, Run
    from farm.package.tarball import Context
    from farm.planning.plan import Plan
    from farm.settings import Settings
    from farm.state.run_handles import RunHandle
    from farm.state.store import Store

_PACKERS = 4
"""Contexts packed at a time; each waits for git, for the disk and for Redis in turn."""


def submit(
    plan: Plan,
    settings: Settings,
    store: Store,
    *,
    partial: bool = False,
    priority: RunPriority = RunPriority.NORMAL,
    once: str = "",
) -> RunHandle:
    """Submit a plan under an order that is signed here; returns the run.

    Under the key `once` only one run is ever submitted; a call with the same key returns that run.

    If it is cut off before the run is stored, the contexts expire, and the next push finds the same work to
    do.
    """
    if once and (earlier := submitted_once(store, once)):
        return earlier
    contexts = _store_contexts([item.package for item in plan.work if item.build], settings, store)
    times = {name: context.mtime for name, context in contexts.items()}
    arguments = {
        one.image: (
            labels(one),
            build_args(one, settings.build_args, commit_time(one), times.get(one.image)),
        )
        for one in (item.package for item in plan.work)
    }
    run = make_run(
        plan,
        contexts,
        arguments,
        run=new_name(store),
        submitter=user_at_host(),
        created=time.time(),
        partial=partial,
    )
    return submit_signed(run, settings, store, priority, once=once)


def submit_signed(
    run: Run,
    settings: Settings,
    store: Store,
    priority: RunPriority = RunPriority.NORMAL,
    *,
    once: str = "",
) -> RunHandle:
    """Sign the order of a run, then submit both."""
    images = [(job.reference.name, job.arch) for work in run.works for job in work.jobs]
    ranks = run_ranks(run.works, read_expectations(store, images)) if images else {}
    ranked = replace(run, priority=priority, ranks=ranks)
    return submit_run(make_app(settings, tries=COMMAND_TRIES), store, sign_run(ranked, settings), once=once)


def _store_contexts(packages: Sequence[Package], settings: Settings, store: Store) -> dict[str, Context]:
    """Pack and store the contexts of packages, some at a time; returns them by package name."""
    listings, stopped = list_contents(packages), threading.Event()

    def store_one(package: Package) -> tuple[str, Context]:
        with spool(stopped) as tar:
            context = pack_context(package, tar, listings)
            tar.seek(0)
            put_context(store, context.digest, tar, keep=settings.keep)
        return package.image, context

    return dict(at_once(store_one, packages, threads=_PACKERS, stop=stopped.set))
