"""The Celery application: its queues, and the settings with which no work is lost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from celery.events.state import State

from farm.errors import SettingsError
from farm.model import ARCHES
from farm.scheduling.celery_app import (
    BUILD,
    PUBLISH,
    PUBLISH_QUEUE,
    QUEUES,
    SETTLE,
    Results,
    build_queue,
    make_app,
)
from farm.scheduling.dispatch import build_signature, publish_signature
from farm.settings import Secret, Settings
from tests.support.values import job, work

if TYPE_CHECKING:
    from celery import Celery


@pytest.fixture
def app() -> Celery:
    return make_app(Settings(broker=Secret("redis://:hush@localhost:1/0"), build_timeout=100.0))


def test_each_architecture_has_a_queue_of_its_own_and_publishing_another(app: Celery) -> None:
    assert set(QUEUES) == {f"build.{arch}" for arch in ARCHES} | {"publish"}
    bound = {queue.name: queue.routing_key for queue in app.conf.task_queues}
    assert bound == {name: name for name in QUEUES}


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("task_acks_late", False),
        ("worker_disable_prefetch", True),
        ("worker_prefetch_multiplier", 1),
        ("worker_pool", "prefork"),
        ("task_retry_on_worker_lost", True),
        ("result_backend_always_retry", True),
        ("accept_content", ["json"]),
        ("task_serializer", "json"),
        ("broker_connection_max_retries", None),
        ("broker_channel_error_retry", True),
        ("task_create_missing_queues", False),
    ],
)
def test_a_setting_without_which_work_was_lost_is_set(app: Celery, setting: str, value: object) -> None:
    assert getattr(app.conf, setting) == value


def test_a_chord_outlives_the_longest_build(app: Celery) -> None:
    assert app.conf.result_chord_expires > app.conf.task_time_limit > 100.0


def test_no_answer_of_redis_is_waited_for_forever(app: Celery) -> None:
    options = app.conf.broker_transport_options
    waits = [options["socket_timeout"], options["socket_connect_timeout"], app.conf.redis_socket_timeout]
    assert all(0 < wait <= 60 for wait in waits)


def test_without_a_broker_there_is_no_application() -> None:
    with pytest.raises(SettingsError, match="no broker is set"):
        make_app(Settings())


def test_a_unix_socket_is_spelled_as_celery_does() -> None:
    assert (
        make_app(Settings(broker=Secret("unix:///run/r.sock"))).conf.broker_url
        == "redis+socket:///run/r.sock"
    )


@pytest.mark.parametrize(
    "url", ["unix:///run/r.sock", "redis://h:1/2", "rediss://h:1/2?ssl_cert_reqs=required"]
)
def test_results_are_kept_where_the_broker_is(url: str) -> None:
    backend: Any = make_app(Settings(broker=Secret(url))).backend
    assert backend.connparams.get("path") == ("/run/r.sock" if url.startswith("unix") else None)
    assert isinstance(backend, Results)


def test_a_build_goes_to_its_architectures_queue_under_the_name_that_operators_read(app: Celery) -> None:
    sent = build_signature(app, job("s390x"))
    assert sent.task == BUILD
    assert sent.options["queue"] == build_queue("s390x") == "build.s390x"
    assert sent.options["kwargsrepr"] == sent.options["shadow"] == "linuxkit/foo:ab12cd34 s390x"


def test_flower_shows_the_name_that_operators_read_in_whatever_order_events_arrive(app: Celery) -> None:
    sent = build_signature(app, job("s390x"))
    message = app.amqp.create_task_message("t1", BUILD, create_sent_event=True, shadow=sent.options["shadow"])
    assert message.sent_event["name"] == message.headers["shadow"] == "linuxkit/foo:ab12cd34 s390x"
    received = {"type": "task-received", "name": message.headers["shadow"]}
    sent_event = {"type": "task-sent"} | message.sent_event
    for events in ([sent_event, received], [received, sent_event]):
        state: Any = State()
        for clock, event in enumerate(events):
            where = {"uuid": "t1", "hostname": "w", "timestamp": 1, "local_received": 1, "clock": clock}
            state.event(event | where)
        assert state.tasks["t1"].name == message.headers["shadow"]


def test_a_publication_goes_to_the_publisher_and_so_does_what_settles_it(app: Celery) -> None:
    sent = publish_signature(app, "r1", work("linuxkit/foo", "amd64"))
    assert (sent.task, sent.options["queue"]) == (PUBLISH, PUBLISH_QUEUE)
    (settle,) = sent.options["link_error"]
    assert (settle["task"], settle["options"]["queue"]) == (SETTLE, PUBLISH_QUEUE)


def test_no_task_carries_more_than_the_job(app: Celery) -> None:
    sent = str(build_signature(app, job())) + str(publish_signature(app, "r1", work("a/b", "amd64")))
    assert "hush" not in sent
