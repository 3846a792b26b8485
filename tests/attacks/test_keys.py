"""Somebody with access to Redis writes keys that workers, publishers and their reconciler read."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import pytest

from farm.builders.docker_engine import Engine
from farm.builders.engine_images import image_id, remove_image
from farm.errors import StateError
from farm.model import Reference, Run
from farm.scheduling.celery_app import make_app
from farm.scheduling.reconciler import reconcile
from farm.settings import Secret, Settings
from farm.state import leases, workers
from farm.state.runs import create_run, read_package
from farm.state.store import OPEN_RUNS, WORKERS, Store, lease_key
from tasks.disk_space import DiskSpace
from tasks.worker_context import SharedFlags, WorkerContext
from tests.acceptance.conftest import new_database
from tests.support.values import ordered, work

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from lab.lab import Lab

NAME = "localhost:1/linuxkit/foo:1-amd64"
KEY, QUEUE = lease_key(NAME, "lease"), lease_key(NAME, "queue")
HUGE = 100 << 20
CENTURY = 100 * 365 * 86400
LONGEST = 600


@pytest.fixture(scope="module")
def store(lab: Lab) -> Iterator[Store]:
    """Redis."""
    store = Store(Secret(new_database(lab)))
    yield store
    store.text.flushdb()
    store.close()


@pytest.fixture(autouse=True)
def _emptied(store: Store) -> None:
    store.text.flushdb()


PLANTED: dict[str, Callable[[Store], object]] = {
    "without an expiry": lambda store: store.text.set(KEY, "abcd/30000 r1 nobody"),
    "for a century": lambda store: store.text.set(KEY, f"abcd/{CENTURY}000 r1 nobody", ex=CENTURY),
    "without a duration": lambda store: store.text.set(KEY, "x"),
    "with escapes": lambda store: store.text.set(KEY, "\x1b]0;x\x07 \x1b[2J"),
}


@pytest.mark.parametrize("plant", PLANTED.values(), ids=PLANTED)
def test_a_planted_lease_ends_within_minutes(store: Store, plant: Callable[[Store], object]) -> None:
    plant(store)
    with pytest.raises(leases.LeaseBusyError):
        leases.take(store, NAME, duration=30, holder="r1 w1", message="m")
    assert 0 < store.text.ttl(KEY) <= LONGEST
    plant(store)
    assert any(store.run_script("lease_holder", [KEY], []))
    assert 0 < store.text.ttl(KEY) <= LONGEST


DAMAGED: dict[str, Callable[[Store, str], object]] = {
    "a list": lambda store, key: store.text.rpush(key, "x"),
    "a hash": lambda store, key: store.text.hset(key, "x", "y"),
    "a stream": lambda store, key: store.text.xadd(key, {"x": "y"}),
    "100 MB": lambda store, key: store.text.eval(
        "redis.call('SETRANGE', KEYS[1], ARGV[1], 'x')", 1, key, HUGE
    ),
}


@pytest.mark.parametrize("plant", DAMAGED.values(), ids=DAMAGED)
def test_what_can_be_no_lease_is_removed_and_the_lease_is_free(
    store: Store, plant: Callable[[Store, str], object]
) -> None:
    plant(store, KEY)
    assert not any(store.run_script("lease_holder", [KEY], []))
    plant(store, KEY)
    lease = leases.take(store, NAME, duration=30, holder="r1 w1")
    store.text.delete(KEY)
    plant(store, KEY)
    assert leases.renew(store, lease)
    store.text.delete(QUEUE)
    store.text.set(QUEUE, "x")
    assert leases.release(store, lease) == []


def test_what_waits_for_a_lease_is_returned_in_bounded_memory(store: Store) -> None:
    lease = leases.take(store, NAME, duration=30, holder="r1 w1")
    store.text.rpush(QUEUE, "first")
    store.binary.rpush(QUEUE, *[b"x" * (20 << 20)] * 2)
    assert leases.release(store, lease) == ["first"]


def test_a_value_of_100_mb_is_reported_as_damage(store: Store) -> None:
    DAMAGED["100 MB"](store, "farm:big")
    with pytest.raises(StateError, match="holds more than the farm stores: a value of 104857601 bytes"):
        store.ask([("get", "farm:big")])
    assert store.ask([("exists", "farm:big")]) == [1], "the connection remains usable"


@pytest.mark.parametrize("part", ["meta", "in-progress", "due", "requeued", "queued:amd64", "records"])
@pytest.mark.parametrize("kind", ["a list", "100 MB"])
def test_a_damaged_run_is_reported_once_and_keeps_no_other_run_from_being_reconciled(
    store: Store, caplog: pytest.LogCaptureFixture, part: str, kind: str
) -> None:
    app = make_app(Settings(broker=Secret(f"redis://{_address(store)}")), tries=1)
    one = work("linuxkit/foo")
    bad, good = (
        create_run(store, ordered(Run(name, "me", float(at), (one,))))
        for at, name in enumerate(("r1-a", "r2-b"))
    )
    store.text.zadd(bad.key("in-progress"), {"P linuxkit/foo": 0})
    store.text.delete(bad.key(part))
    DAMAGED[kind](store, bad.key(part))
    for run in (bad, good):
        if run is good or part != "due":
            store.text.zadd(run.key("due"), {"P linuxkit/foo": 0})
    reported: set[str] = set()
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            reconcile(app, store, keep=60, reported=reported)
    assert read_package(good.package("linuxkit/foo")).state == "building"
    assert len([one for one in caplog.messages if "r1-a was not reconciled" in one]) == 1


def _address(store: Store) -> str:
    options = store.text.connection_pool.connection_kwargs
    password = f":{options['password']}@" if options.get("password") else ""
    return f"{password}{options['host']}:{options['port']}/{options['db']}"


def test_a_damaged_list_of_runs_is_an_error_that_says_so(store: Store) -> None:
    store.text.set(OPEN_RUNS, "x")
    app = make_app(Settings(broker=Secret(f"redis://{_address(store)}")), tries=1)
    with pytest.raises(StateError, match="another type of value than the farm stores"):
        reconcile(app, store, keep=60)


@pytest.mark.parametrize("record", ["[]", "3", "x", "{}", "[" * 100_000, '{"seen": "x", "arches": 1}'])
def test_what_describes_no_worker_is_not_listed_and_forgotten(store: Store, record: str) -> None:
    info = workers.WorkerInfo("w", ("amd64",), publisher=False, slots=1, engine="")
    workers.record_heartbeat(store, info)
    store.text.hset(WORKERS, "forged", record)
    assert [worker.name for worker in workers.known_workers(store)] == ["w"]
    workers.forget_silent(store)
    assert store.text.hkeys(WORKERS) == ["w"]


def test_no_name_in_redis_makes_a_worker_remove_an_image(lab: Lab, store: Store) -> None:
    image = Reference("localhost:1", "somebody/else", f"{'0' * 40}-amd64")
    settings = Settings(broker=Secret(f"redis://{_address(store)}"), engine=lab.engine_url, disk_free=0)
    context = WorkerContext(settings, "victim@test", SharedFlags())
    with Engine.connect(lab.engine_url, timeout=30.0) as engine:
        engine.api.import_image_from_data(bytes(1024), repository=image.name, tag=image.tag)
        try:
            info = engine.info()
            for key in (f"farm:images:{info.id}", "farm:images"):
                store.text.sadd(key, str(image))
            disk = DiskSpace(context, engine, info.root)
            disk.make_room()
            disk.clean_up()
            assert image_id(engine, image)
        finally:
            remove_image(engine, image)
            context.store.close()
