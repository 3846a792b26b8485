"""Somebody with access to Redis tells a worker over Celery's remote control to change."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.attacks.victims import Victim, encoded, running_victim
from tests.support.farm_command import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lab.lab import Lab

CHANGES = (
    *("shutdown", "add_consumer", "cancel_consumer", "rate_limit", "time_limit", "pool_grow", "pool_shrink"),
    *("pool_restart", "autoscale", "revoke", "terminate", "revoke_by_stamped_headers", "election"),
)
BAD: tuple[Any, ...] = (3, [], [[]], "\x1b]0;x\x07", 1e308, {"__type__": "datetime", "__value__": "x"})
PING: dict[str, Any] = {
    "method": "ping",
    "arguments": {},
    "destination": None,
    "pattern": None,
    "matcher": None,
}
MIB = 1 << 20


@pytest.fixture(scope="module")
def victim(lab: Lab) -> Iterator[Victim]:
    """A publisher."""
    with running_victim(lab, "publish") as victim:
        yield victim


def tell(victim: Victim, message: bytes) -> None:
    """Broadcast a message to all workers."""
    database = victim.broker.rpartition("/")[2]
    victim.redis.publish(f"/{database}.celery.pidbox", message)


def command(content: Any, **changes: Any) -> bytes:
    """A broadcast as Celery sends it, with changes."""
    made = {
        "body": encoded(content),
        "content-type": "application/json",
        "content-encoding": "utf-8",
        "headers": {"clock": 1},
        "properties": {"body_encoding": "base64", "delivery_tag": "1", "delivery_info": {}},
    }
    return json.dumps(made | changes).encode()


@pytest.mark.parametrize("name", CHANGES)
def test_a_command_that_would_change_a_worker_is_refused(victim: Victim, name: str) -> None:
    arguments = {"queue": "build.amd64", "task_name": "farm.publish_manifest", "task_id": "1", "n": 1}
    control: Any = victim.app.control
    (answer,) = control.broadcast(name, arguments, reply=True, limit=1, timeout=10)
    assert answer["victim@test"]["error"].startswith(f"workers of a farm refuse {name}")


def test_malformed_commands_are_rejected_with_one_warning_each_and_the_worker_still_answers(
    victim: Victim,
) -> None:
    forms = [
        b"[" * 100_000 + b"]" * 100_000,
        b"\xff\x1b[2J",
        b"[]",
        b"3",
        b"null",
        command(3),
        command([]),
        command(None, body="!"),
    ]
    forms += [command(PING | {name: value}) for value in BAD for name in ("method", "destination") if value]
    forms += [command(PING | {"arguments": {"ids": value}}) for value in BAD if value and value != BAD[3]]
    forms += [
        command(PING, **{name: value}) for value in BAD for name in ("body", "properties") if value != BAD[3]
    ]
    # A pattern that takes for ever to match, and a command that Celery does not have.
    forms += [command(PING | {"pattern": "(a+)+$", "matcher": "pcre"}), command(PING | {"method": "x"})]
    before = len(victim.warnings("rejected a message in celery.pidbox"))
    for form in forms:
        tell(victim, form)
    victim.check_works()
    assert len(victim.warnings("rejected a message in celery.pidbox")) - before == len(forms)
    assert all(line.isprintable() and len(line) < 600 for line in victim.warnings())
    assert victim.app.control.inspect(["victim@test"], timeout=5).ping()


@pytest.mark.parametrize("size", [16 * MIB, 100 * MIB])
def test_a_large_command_is_rejected_in_bounded_memory(victim: Victim, size: int) -> None:
    tell(victim, b"[" * size)
    victim.check_works()
    wait_until(lambda: victim.app.control.inspect(["victim@test"], timeout=1).ping(), otherwise=victim.said)
    assert victim.memory() < 160


def test_an_answer_goes_to_a_queue_of_answers_and_nowhere_else(victim: Victim) -> None:
    victim.redis.sadd("_kombu.binding.forged", b"\x06\x16\x06\x16loot")
    for to in (
        {"exchange": "forged", "routing_key": ""},
        {"exchange": "", "routing_key": "loot"},
        "loot",
        [1],
    ):
        tell(victim, command(PING | {"reply_to": to, "ticket": "1"}))
    victim.check_works()
    assert not victim.redis.exists("loot")
    assert len(victim.warnings("reply_to")) == 4


def test_a_clock_of_somebody_elses_choice_is_not_taken_over(victim: Victim) -> None:
    clocks: list[Any] = ["x", 10**300, [], -1]
    for clock in clocks:
        tell(victim, command(PING, headers={"clock": clock}))
    victim.check_works()
    stats = victim.app.control.inspect(["victim@test"], timeout=5).stats() or {}
    assert 0 < int(stats["victim@test"]["clock"]) < 10**6
