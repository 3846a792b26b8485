"""Somebody with access to Redis puts messages of any shape and size into the queues of a worker."""

from __future__ import annotations

import base64
import gzip
import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.attacks.victims import ROLES, Victim, build_of, running_victim
from tests.support.farm_command import wait_until
from tests.support.values import job

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from lab.lab import Lab

BAD: tuple[Any, ...] = (
    3,
    1e308,
    True,
    [],
    [[]],
    {},
    "\x1b]0;x\x07",
    {"__type__": "datetime", "__value__": "x"},
)
"""Values of the wrong type."""
HEADERS = ("task", "id", "lang", "timelimit", "shadow", "expires", "eta", "retries", "group", "argsrepr")
DEPTH = 100_000
HUGE = 100 << 20
MOST_MEMORY = 160
"""MiB of one process of a worker; it has some 75 when it starts."""


@pytest.fixture(scope="module", params=ROLES)
def victim(lab: Lab, request: pytest.FixtureRequest) -> Iterator[Victim]:
    """A worker of each role."""
    with running_victim(lab, request.param) as victim:
        yield victim


@pytest.fixture(scope="module")
def builder(lab: Lab) -> Iterator[Victim]:
    """A worker that builds."""
    with running_victim(lab, "build.amd64") as victim:
        yield victim


def malformed(victim: Victim) -> dict[str, bytes]:
    """Messages that no farm sends."""
    forms = {
        "no JSON": b"\xff\x1b[2J",
        "a list": b"[]",
        "a number": b"3",
        "null": b"null",
        "deep": b"[" * DEPTH + b"]" * DEPTH,
        "deep objects": b'{"headers":' * DEPTH + b"1" + b"}" * DEPTH,
        "no base64": victim.message(body="!"),
        "deep body": victim.message(body=base64.b64encode(b"[" * DEPTH + b"]" * DEPTH).decode()),
        "pickle": victim.message(**{"content-type": "application/x-python-serialize"}),
        "YAML": victim.message(**{"content-type": "application/x-yaml"}),
        "msgpack": victim.message(**{"content-type": "application/x-msgpack"}),
        "a bomb": victim.message(body=base64.b64encode(gzip.compress(b"0" * 10**7)).decode(), headers={}),
        "for years": victim.message(headers__eta="2999-01-01T00:00:00+00:00"),
        "a task of Celery": victim.message(headers__task="celery.map"),
        "a callback": victim.message(content=[[], {}, {"callbacks": [{"task": "celery.map"}]}]),
    }
    for value in BAD:
        for name in HEADERS:
            forms[f"{name}={value!r}"] = victim.message(**{f"headers__{name}": value})
        for name in ("body", "headers", "properties", "content-type", "content-encoding", "content"):
            forms[f"{name}={value!r}"] = victim.message(**{name: value})
        forms[f"priority={value!r}"] = victim.message(properties__priority=value)
        for field in ("run", "package", "arch"):
            content = [[], build_of(**{field: value}), {}]
            forms[f"{field}={value!r}"] = victim.message(content=content)
    # This one is what the farm sends.
    return {name: form for name, form in forms.items() if name != "priority=3"}


def test_malformed_messages_are_rejected_with_one_warning_each_and_the_next_good_one_is_processed(
    victim: Victim,
) -> None:
    forms, before = malformed(victim), len(victim.warnings())
    victim.take(*forms.values())
    victim.check_works()
    rejected = victim.warnings()[before:]
    assert len(rejected) == len(forms)
    assert max(map(len, rejected)) < 600
    assert all(line.isprintable() for line in rejected)
    assert victim.memory() < MOST_MEMORY


def test_a_message_of_100_mb_is_rejected_in_bounded_memory(victim: Victim) -> None:
    victim.take(b"[" * HUGE)
    victim.check_works()
    assert any(f"a value of {HUGE} bytes" in line for line in victim.warnings())
    assert victim.memory() < MOST_MEMORY


def test_what_is_planted_as_unacknowledged_is_never_delivered(victim: Victim) -> None:
    """Nothing is restored from there, neither now nor every hour."""
    victim.redis.hset("unacked", "1", b"[]")
    victim.redis.zadd("unacked_index", {"1": 0})
    victim.check_works()
    assert victim.redis.hlen("unacked") == victim.redis.zcard("unacked_index") == 1
    assert victim.app.conf.broker_transport_options["ack_emulation"] is False
    victim.redis.delete("unacked", "unacked_index")


def test_a_queue_that_somebody_replaced_by_another_type_is_removed_with_one_warning(victim: Victim) -> None:
    victim.redis.set(victim.queue, "x")
    wait_until(lambda: not victim.redis.exists(victim.queue))
    victim.check_works()
    assert len(victim.warnings("it was no list of messages")) == 1


@pytest.mark.parametrize(
    "forge",
    [
        lambda victim: victim.message(content=[[], build_of(arch="arm64"), {}]),
        lambda victim: victim.message(headers__task="farm.publish_manifest"),
        lambda victim: victim.message(headers__task="farm.settle_package"),
    ],
    ids=["another architecture", "a publication", "a settlement"],
)
def test_a_builder_does_only_builds_of_its_own_architectures(
    builder: Victim, forge: Callable[[Victim], bytes]
) -> None:
    before = len(builder.warnings())
    builder.take(forge(builder))
    builder.check_works()
    assert len(builder.warnings()) == before + 1
    assert "farm.publish_manifest" not in builder.said().partition("[tasks]")[2].partition("ready.")[0]


def test_a_publisher_never_builds(lab: Lab) -> None:
    with running_victim(lab, "publish") as publisher:
        publisher.take(publisher.message(headers__task="farm.build_and_push", content=[[], build_of(), {}]))
        publisher.check_works()
        assert len(publisher.warnings()) == 1
        assert "farm.build_and_push" not in publisher.said().partition("[tasks]")[2].partition("ready.")[0]


def test_a_message_with_an_unknown_field_does_not_stop_a_worker(builder: Victim) -> None:
    """It is rejected, and the worker reports that it may be too old."""
    before = len(builder.warnings())
    builder.take(builder.message(content=[[], build_of(sandbox=True), {}]))
    builder.check_works()
    assert "arguments that this farm does not know: sandbox" in builder.warnings()[before]
    wait_until(lambda: (info := builder.info()) and "too old" in info.trouble)


def test_a_chord_of_another_package_is_not_continued(builder: Victim) -> None:
    """A build with the publication of another package as its callback is rejected."""
    foreign = {"task": "farm.publish_manifest", "options": {"queue": "publish"}, "kwargs": {"run": "r9"}}
    content = [[], build_of(), {"chord": foreign}]
    builder.take(builder.message(content=content))
    wait_until(lambda: any("of the same package" in line for line in builder.warnings()))


def test_a_message_that_waits_for_a_lease_is_dropped_if_it_is_none(builder: Victim) -> None:
    """The work that held the lease ends as it should."""
    target = job("amd64").reference._replace(registry=builder.lab.registry)
    queue = f"farm:{{lease:{target.for_arch('amd64')}}}:queue"
    builder.redis.rpush(queue, b"[]", b"\xff", b"[" * DEPTH, json.dumps({"options": {"queue": "other"}}))
    package = builder.submit()
    wait_until(lambda: builder.ended(package), otherwise=builder.said)
    wait_until(lambda: len(builder.warnings("dropped what waited")) == 4, otherwise=builder.said)
    builder.check_works()
