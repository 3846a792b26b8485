"""Results of tasks: the sender of a chord has no subscription that it would have to end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from celery import chord

from farm.scheduling.celery_app import BUILD, PUBLISH, PUBLISH_QUEUE, build_queue, make_app
from farm.settings import load_settings

if TYPE_CHECKING:
    from lab.lab import Lab


def test_a_sender_of_a_chord_subscribes_to_nothing(lab: Lab) -> None:
    app: Any = make_app(load_settings({}, environ={"FARM_BROKER": lab.redis_url.rpartition("/")[0] + "/15"}))
    builds = [app.signature(BUILD, options={"queue": build_queue(arch)}) for arch in ("amd64", "arm64")]
    sent: Any = chord(builds)(app.signature(PUBLISH, options={"queue": PUBLISH_QUEUE}))
    try:
        assert sent.parent is not None
        names = [f"celery-task-meta-{result.id}" for result in (sent, *sent.parent.results)]
        subscribed = dict(app.backend.client.pubsub_numsub(*names))
        assert set(subscribed.values()) == {0}
    finally:
        app.control.purge()
