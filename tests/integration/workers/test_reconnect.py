"""A worker of the installed command that loses Redis at a bad moment."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

from tests.fault.rig import Backend, running_rig

if TYPE_CHECKING:
    from lab.lab import Lab

NAME = "publish-1"


def test_a_worker_stops_on_a_signal_although_redis_went_away_during_a_heartbeat(lab: Lab) -> None:
    with running_rig(lab, [NAME]) as rig, rig.tripwire(Backend.REDIS, r"worker\.heartbeat") as heartbeat:
        heartbeat.wait()
        rig.kill_redis()
        heartbeat.drop()
        worker = rig.processes[NAME]
        os.kill(worker.pid, signal.SIGTERM)
        assert worker.wait(60) == 0
