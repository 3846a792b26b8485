"""The order of a run as workers and a retry read it from Redis."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from farm.errors import OrderError
from farm.private_farm.own_keys import ensure_own_trust
from farm.settings import Secret, Settings
from farm.state.runs import create_run
from farm.trust.orders import KNOWN_ORDERS, sign_run
from tasks.orders import read_ordered_job
from tasks.worker_context import SharedFlags, WorkerContext
from tests.support.values import run_of, work

if TYPE_CHECKING:
    from pathlib import Path

    from farm.model import Run
    from farm.state.run_handles import RunHandle
    from farm.state.store import Store

FOO, BAR = work("linuxkit/foo", "amd64", "arm64"), work("linuxkit/bar", "amd64")


@pytest.fixture
def context(redis_url: str, tmp_path: Path) -> WorkerContext:
    """A worker with a policy and keys of its own."""
    own = ensure_own_trust(tmp_path)
    settings = Settings(
        broker=Secret(redis_url), policy=own.policy, order_key=own.order_key, worker_key=own.worker_key
    )
    return WorkerContext(settings, "w1", SharedFlags())


def submit(store: Store, context: WorkerContext, run: Run | None = None) -> RunHandle:
    made = replace(run or run_of(FOO, BAR), created=store.now())
    return create_run(store, sign_run(made, context.settings))


def test_a_worker_reads_the_order_of_a_run_only_once_and_of_each_job_its_own_part(
    store: Store, context: WorkerContext
) -> None:
    """The order of a large run has a megabyte."""
    run = submit(store, context)
    first = read_ordered_job(context, run.package(FOO.package).job("amd64"))
    store.text.delete(run.key("order"))
    second = read_ordered_job(context, run.package(BAR.package).job("amd64"))
    assert (first.job.package, second.job.package) == (FOO.package, BAR.package)
    assert first.verified.order is second.verified.order


def test_a_part_that_was_changed_after_the_order_was_read_is_refused(
    store: Store, context: WorkerContext
) -> None:
    run = submit(store, context)
    read_ordered_job(context, run.package(FOO.package).job("amd64"))
    store.text.hset(run.key("works"), BAR.package, '{"package":"linuxkit/bar"}')
    with pytest.raises(OrderError, match="is not what the order of"):
        read_ordered_job(context, run.package(BAR.package).job("amd64"))


def test_an_order_that_was_read_does_not_count_any_longer_than_its_maintainer_does(
    store: Store, context: WorkerContext
) -> None:
    run = submit(store, context)
    job = run.package(FOO.package).job("amd64")
    read_ordered_job(context, job)
    policy = context.settings.policy
    assert policy
    policy.write_text("maintainers: []\n")
    with pytest.raises(OrderError, match="not signed by a maintainer"):
        read_ordered_job(context, job)


def test_a_worker_remembers_the_orders_of_few_runs(store: Store, context: WorkerContext) -> None:
    """So its memory is bounded, however many runs it works for."""
    for number in range(KNOWN_ORDERS + 2):
        name = f"r{number}-abcd"
        run = submit(store, context, run_of(work(FOO.package, "amd64", run=name), run=name))
        read_ordered_job(context, run.package(FOO.package).job("amd64"))
    assert len(context.orders) == KNOWN_ORDERS
