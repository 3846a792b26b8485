"""What a worker does when it is told over Celery's remote control to change."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from celery import Celery
from celery.worker.control import Panel
from kombu import Queue
from kombu.asynchronous import Hub

from workers.queue_control import QueueControl
from workers.remote_control import ANSWERED, refuse_changes

if TYPE_CHECKING:
    from collections.abc import Iterator

QUEUES = ("build.amd64", "build.arm64")


@pytest.fixture
def panel(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The commands of a worker."""
    monkeypatch.setattr(Panel, "data", dict(Panel.data))
    monkeypatch.setattr(Panel, "meta", dict(Panel.meta))
    refuse_changes()
    return Panel.data


@pytest.fixture
def consumer() -> Iterator[Any]:
    """Celery's consumer of a worker, connected to a broker in memory."""
    app = Celery("test", broker="memory://", set_as_current=False)
    app.conf.task_queues = [Queue(name, routing_key=name) for name in QUEUES]
    with app.connection_for_read() as connection:
        worker: Any = app.WorkController(pool_cls="solo")
        consumer = worker.consumer
        consumer.hub = Hub()
        consumer.connection, consumer.task_consumer = connection, app.amqp.TaskConsumer(connection.channel())
        consumer.task_consumer.consume()
        yield consumer


@pytest.mark.parametrize(
    "name",
    [
        *("cancel_consumer", "add_consumer", "pool_grow", "pool_shrink", "pool_restart", "autoscale"),
        *("revoke", "terminate", "revoke_by_stamped_headers", "rate_limit", "time_limit", "shutdown"),
        *("disable_events", "hello", "memdump", "objgraph"),
    ],
)
def test_a_command_that_changes_a_worker_is_refused_with_what_to_use_instead(
    panel: dict[str, Any], name: str
) -> None:
    answer = panel[name](None, queue="build.amd64", task_id="1", signal="KILL", n=2)
    assert answer["error"].startswith(f"workers of a farm refuse {name}: use farm ")


def test_the_commands_with_which_flower_looks_are_celerys_own(panel: dict[str, Any]) -> None:
    assert {name for name, command in panel.items() if "refus" not in command.__qualname__} == ANSWERED


def test_a_worker_consumes_again_what_celery_stopped_consuming_for_another_reason(consumer: Any) -> None:
    control = QueueControl(QUEUES, open_=True)
    control.attach(consumer)
    consumer.cancel_task_queue(QUEUES[0])
    assert not consumer.task_consumer.consuming_from(QUEUES[0])
    control.request(open_=True)
    for callback in consumer.hub._pop_ready():
        callback()
    assert control.open
    assert all(consumer.task_consumer.consuming_from(queue) for queue in QUEUES)
