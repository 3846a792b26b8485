"""Workers that die or freeze at each phase of a build: in one run, with a package for each phase.

Of each package, one architecture loses the process that builds, one loses the whole worker, and for one the
worker freezes until its lease has expired, and then continues.
"""

from __future__ import annotations

import re
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from farm.model import Reference
from tests.fault.outcome import built, check
from tests.fault.phases import BUILD_PHASES, BUILDING, LEASED, PUSHING, SIGNING
from tests.fault.rig import ARCHES, LEASE
from tests.fault.summary import SUMMARY
from tests.support.farm_command import wait_until

if TYPE_CHECKING:
    from farm.state.records import JobRecord
    from tests.fault.phases import Phase
    from tests.fault.process import Process
    from tests.fault.rig import Rig
    from tests.support.proxy.tripwire import Tripwire

pytestmark = pytest.mark.timeout(900)
CHILD, WORKER, FROZEN = FAULTS = (
    "kill -9 of the build child",
    "kill -9 of the worker",
    "worker frozen past its lease",
)
ALLOWED = LEASE + 5
"""Seconds from a kill to the next start of the lost work."""


@dataclass(frozen=True)
class Case:
    """One job, and the fault of its worker at a phase."""

    rig: Rig
    phase: Phase
    reference: str
    arch: str
    fault: str
    wire: Tripwire

    def strike(self) -> Struck:
        """Cause the fault at the phase; a frozen worker continues after another has done its work."""
        name = self.wire.wait()
        # The engine pushes, on behalf of the job's worker.
        victim = self.rig.processes.get(name) or self.rig.processes[self._record().worker]
        at = time.monotonic()
        if self.fault == CHILD:
            assert victim.kill_child(), f"{victim.name} has no child"
            self.wire.drop()
        elif self.fault == WORKER:
            victim.kill()
            self.wire.drop()
            victim.start()
        else:
            victim.freeze()
            # Not from the record: on a slow machine, another worker may have the job already.
            tasks = self._given_to(victim)
            assert tasks
            wait_until(lambda: self._record().state.succeeded, 240)
            before = self._record(), built(self.rig, self.reference)[self.arch]
            self.wire.release()
            victim.thaw()
            victim.wait_said(*(rf"\[{task}\] {self._end(before[0])}" for task in tasks))
            assert (self._record(), built(self.rig, self.reference)[self.arch]) == before
            assert self._record().worker != victim.name
        return Struck(self, victim.name, at)

    def _end(self, record: JobRecord) -> str:
        """What a thawed worker logs about its task, which is no longer its own.

        At `leased` its request may have timed out; the second request then returns the other worker's image.
        """
        assert record.image
        made = f"succeeded in .*{record.image.descriptors[0].digest}"
        return f"(?:ignored|{made})" if self.phase is LEASED else "ignored"

    def _given_to(self, worker: Process) -> list[str]:
        title = re.escape(f"{Reference.parse(self.reference).short} {self.arch}")
        return re.findall(rf"Task {title}\[(\S+)\] received", worker.said())

    def _record(self) -> JobRecord:
        return self.rig.record(self.reference).jobs[self.arch]


@dataclass(frozen=True)
class Struck:
    """A case that has happened: the victim, and the monotonic time."""

    case: Case
    victim: str
    at: float


@pytest.fixture(scope="module")
def struck(rig: Rig) -> dict[str, list[Struck]]:
    """All cases, by phase, after their run has succeeded."""
    names = {phase: phase.name.partition(",")[0].replace(" ", "-") for phase in BUILD_PHASES}
    rig.prepare(*names.values())
    with ExitStack() as stack:
        cases = []
        for turn, (phase, name) in enumerate(names.items()):
            reference = rig.package(name, seconds=3 if phase is BUILDING else 0)
            for place, fault in enumerate(FAULTS):
                arch = ARCHES[(turn + place) % len(ARCHES)]
                pattern = phase.at(package=name, arch=arch, tag=reference.rpartition(":")[2])
                wire = stack.enter_context(rig.tripwire(phase.backend, pattern, phase.hold))
                cases.append(Case(rig, phase, reference, arch, fault, wire))
        push = rig.push("push-1", *names.values())
        with ThreadPoolExecutor(len(cases)) as pool:
            done = list(pool.map(Case.strike, cases))
        assert push.wait() == 0, push.said()
    return {phase.name: [one for one in done if one.case.phase is phase] for phase in BUILD_PHASES}


def test_the_run_in_which_they_died_ends_with_all_published_and_signed(
    rig: Rig, struck: dict[str, list[Struck]]
) -> None:
    check(rig, [cases[0].case.reference for cases in struck.values()])


@pytest.mark.parametrize("phase", BUILD_PHASES, ids=lambda phase: phase.name)
def test_what_was_pushed_before_its_worker_died_or_froze_is_not_built_again(
    rig: Rig, struck: dict[str, list[Struck]], phase: Phase
) -> None:
    for one in struck[phase.name]:
        again = 2 if phase in (BUILDING, PUSHING) else 1
        assert built(rig, one.case.reference)[one.case.arch] == again
        SUMMARY.survived.append((one.case.fault, phase.name, f"built {'twice' if again == 2 else 'once'}"))


def test_what_dies_with_its_worker_starts_again_within_one_lease_and_five_seconds(rig: Rig) -> None:
    rig.prepare("urgent")
    reference = rig.package("urgent", seconds=2)
    with ExitStack() as stack:
        wires = {
            arch: stack.enter_context(
                rig.tripwire(BUILDING.backend, BUILDING.at(package="urgent", arch=arch), BUILDING.hold)
            )
            for arch in ARCHES
        }
        push = rig.push("push-1", "urgent")
        with ThreadPoolExecutor(len(wires)) as pool:
            # Each when it trips, since nothing holds the others.
            killed = pool.map(lambda wire: rig.processes[wire.wait()].kill(), wires.values())
            deaths = dict(zip(wires, killed, strict=True))
        with rig.tripwire(SIGNING.backend, SIGNING.at(package="urgent")) as first:
            publisher = rig.processes[first.wait()]
            with rig.tripwire(SIGNING.backend, SIGNING.at(package="urgent")) as second:
                died = publisher.kill()
                first.drop()
                second.wait()
                taken = time.monotonic() - (time.time() - rig.record(reference).at)
        assert push.wait() == 0, push.said()
    check(rig, [reference])
    SUMMARY.recoveries.append(("kill -9 of the publisher", taken - died, ALLOWED))
    assert taken - died <= ALLOWED
    for arch, died in deaths.items():
        _, again = rig.builds(reference, arch)
        SUMMARY.recoveries.append((f"kill -9 of the {arch} worker", again.at - died, ALLOWED))
        assert again.at - died <= ALLOWED
    rig.revive()
