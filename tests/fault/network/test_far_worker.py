"""A worker and a publisher on a machine of their own: its network, engine, disk and memory fail."""

from __future__ import annotations

import os
import threading
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from farm.model import JobState
from tests.fault.network.conftest import IMPATIENT
from tests.fault.network.far import PUBLISHER, WORKER, Far, far_farm
from tests.fault.network.outcome import assert_done, assert_failed, assert_published, write
from tests.fault.rig import LEASE, Backend, running_rig
from tests.support.farm_command import wait_until
from tests.support.proxy.http_faults import preceded_by

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from farm.state.records import JobRecord
    from lab.lab import Lab
    from tests.fault.network.conftest import Services
    from tests.fault.network.outcome import Package
    from tests.fault.process import Process
    from tests.support.namespaces import Link

pytestmark = pytest.mark.timeout(900)
ONE = ("amd64",)
# Over a delayed wire, a signature takes longer than the time-out of the other tests.
VARIABLES = IMPATIENT | {"FARM_DISK_FREE": "0", "FARM_TRUST_TIMEOUT": "60s"}
CHATTY = f"for i in {' '.join('x' * 30)}; do yes {'long ' * 20} | head -n 1000; sleep 0.1; done"
"""A step with a long log, which takes memory."""
OUTAGE = LEASE + 1
"""Seconds for which a wire is cut."""


@pytest.fixture(scope="module")
def far(lab: Lab, services: Services) -> Iterator[Far]:
    faulty = replace(lab, registry=services.registry.address, notary_url=services.notary.url)
    with running_rig(faulty, ()) as rig, far_farm(rig, **VARIABLES) as far:
        yield far


@pytest.fixture(autouse=True)
def healed(far: Far) -> Iterator[None]:
    yield
    for wire in far.wires:
        wire.heal()


def job_of(far: Far, package: Package) -> JobRecord | None:
    return far.rig.record(package.reference).jobs["amd64"] if far.rig.run_of(package.reference) else None


def push(far: Far, package: Package) -> Process:
    return far.rig.push(f"push-{package.name}", package.name)


def wait_for_build(far: Far, package: Package) -> None:
    """Wait until a build runs: the state changes just before the engine is asked."""
    wait_until(lambda: (job := job_of(far, package)) and job.state is JobState.BUILDING)
    wait_until(lambda: far.rig.builds(package.reference, "amd64"))


def cut_for_a_while(wire: Link) -> Callable[[], None]:
    """Return a function that cuts a wire and returns at once; a timer heals the wire."""

    def cut() -> None:
        wire.cut()
        timer = threading.Timer(OUTAGE, wire.heal)
        timer.daemon = True
        timer.start()

    return cut


def test_redis_is_out_of_reach_for_longer_than_a_lease_in_the_middle_of_a_build(far: Far) -> None:
    package = write(far.rig, "noredis", step="sleep 3", arches=ONE)["noredis"]
    pushing = push(far, package)
    wait_for_build(far, package)
    wire = far.wire(Backend.REDIS)
    cut_for_a_while(wire)()
    assert_done(pushing)
    assert wire.lost > 0
    # It is built again if its lease expired before it was pushed.
    assert_published(far.rig, package, builds=(1, 2))


def test_the_registry_and_then_the_notary_server_are_out_of_reach_in_the_middle_of_a_push(
    far: Far, services: Services
) -> None:
    package = write(far.rig, "unreached", arches=ONE)["unreached"]
    wires = [far.wire(Backend.REGISTRY), far.wire(Backend.NOTARY, PUBLISHER)]
    before = [wire.lost for wire in wires]
    acts = [preceded_by(cut_for_a_while(wire)) for wire in wires]
    faults = [
        services.registry.breaks("PATCH", "/unreached/blobs/uploads/", acts[0]),
        services.notary.breaks("POST", "/unreached/_trust/tuf/$", acts[1]),
    ]
    assert_done(push(far, package))
    assert [fault.hits for fault in faults] == [1, 1]
    assert all(wire.lost > lost for wire, lost in zip(wires, before, strict=True))
    assert_published(far.rig, package)


@pytest.mark.parametrize(("delay", "loss"), [(0.3, 0.0), (0.0, 0.1)], ids=["delayed", "losing"])
def test_a_poor_wire_to_everything_makes_it_slower_and_no_worse(far: Far, delay: float, loss: float) -> None:
    name = "slowwire" if delay else "lossy"
    package = write(far.rig, name, arches=ONE)[name]
    before = [wire.lost for wire in far.wires]
    for wire in far.wires:
        wire.delay, wire.loss = delay, loss
    assert_done(push(far, package))
    assert ([wire.lost for wire in far.wires] != before) is bool(loss)
    assert_published(far.rig, package)


def test_the_engine_is_restarted_in_the_middle_of_a_build(far: Far) -> None:
    package = write(far.rig, "noengine", step="sleep 2", arches=ONE)["noengine"]
    pushing = push(far, package)
    wait_for_build(far, package)
    far.engine.stop()
    far.engine.start()
    assert_done(pushing)
    assert_published(far.rig, package, builds=(2, 3))


def test_a_disk_that_stays_full_is_reported_and_the_build_done_once_there_is_room(far: Far) -> None:
    package = write(far.rig, "bulky", arches=ONE, padding=24 << 20)["bulky"]
    room = os.statvfs(far.disk)
    with (far.disk / "ballast").open("wb") as ballast:
        # The build needs more than the clean-up can free.
        os.posix_fallocate(ballast.fileno(), 0, room.f_bavail * room.f_frsize - (12 << 20))
    try:
        pushing = push(far, package)
        code = pushing.wait(240)
    finally:
        (far.disk / "ballast").unlink()
    assert code != 0, pushing.said()
    sentence = assert_failed(far.rig, package, because="bulky amd64")
    assert "filled the disk" in sentence or "no space left" in sentence, sentence
    run = far.rig.run_of(package.reference)
    assert run is not None
    again = far.rig.ask("retry", run)
    assert again.code == 0, again.err
    assert_published(far.rig, package, builds=range(2, 15))


def test_a_worker_whose_memory_runs_out_loses_no_job(far: Far) -> None:
    package = write(far.rig, "hungry", step=CHATTY, arches=ONE)["hungry"]
    pushing = push(far, package)
    wait_for_build(far, package)
    with starved(far.rig.processes[WORKER].children()) as kills:
        wait_until(lambda: kills() > 0)
    assert_done(pushing)
    assert_published(far.rig, package, builds=(2, 3))


@contextmanager
def starved(pids: list[int]) -> Iterator[Callable[[], int]]:
    """Leave almost no memory to processes; yields how many of them the kernel has killed."""
    v1 = Path("/sys/fs/cgroup/memory")
    root, limit, events = (
        (v1, "memory.limit_in_bytes", "memory.oom_control")
        if (v1 / "memory.limit_in_bytes").exists()
        else (Path("/sys/fs/cgroup"), "memory.max", "memory.events")
    )
    group = root / f"farm-t{os.getpid()}"
    group.mkdir()
    try:
        (group / limit).write_text("0")
        for pid in pids:
            (group / "cgroup.procs").write_text(str(pid))

        def kills() -> int:
            lines = dict(line.split() for line in (group / events).read_text().splitlines())
            return int(lines["oom_kill"])

        yield kills
    finally:
        for survivor in (group / "cgroup.procs").read_text().split():
            (root / "cgroup.procs").write_text(survivor)
        wait_until(lambda: not (group / "cgroup.procs").read_text())
        group.rmdir()
