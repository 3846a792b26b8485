"""Heartbeats: they go on whatever happens, because only they let a worker be drained."""

from __future__ import annotations

from typing import TYPE_CHECKING

from farm.settings import Secret
from farm.state.store import Store
from farm.state.workers import WorkerInfo
from workers import heartbeat
from workers.heartbeat import Heartbeat
from workers.queue_control import QueueControl

if TYPE_CHECKING:
    import pytest


def test_a_heartbeat_that_cannot_be_made_is_reported_once_and_tried_again(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[WorkerInfo] = []
    attempts = iter((1 / 1, 0, 0, 1))
    monkeypatch.setattr(heartbeat, "record_heartbeat", lambda _, worker: sent.append(worker))
    monkeypatch.setattr(heartbeat, "forget_silent", lambda _: None)
    info = WorkerInfo("w", ("amd64",), publisher=False, slots=1, engine="")
    store, queues = Store(Secret("redis://nowhere")), QueueControl((), open_=True)
    beats = Heartbeat(store, info, queues, lambda: str(1 / next(attempts)))
    for _ in range(4):
        beats._send()
    assert len(sent) == 2
    assert caplog.text.count("ZeroDivisionError") == 1
