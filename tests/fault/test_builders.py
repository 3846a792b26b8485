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
from tests.fault.faults import Fault, at_once
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
ALLOWED = LEASE + 5
"""Seconds from a kill to the next start of the lost work."""


@dataclass(frozen=True)
class Case:
    """One job, and the fault of its worker at a phase."""

    rig: Rig
    phase: Phase
    reference: str
    arch: str
    fault: Fault
    wire: Tripwire

    def happen(self) -> None:
        """Cause the fault at the phase; a frozen worker continues after another has done its work."""
        name = self.wire.wait()
        # The engine pushes, on behalf of the job's worker.
        victim = self.rig.processes.get(name) or self.rig.processes[self._record().worker]
        self.fault.strike(victim, self.wire)
        if self.fault is Fault.FROZEN:
            # Not from the record: on a slow machine, another worker may have the job already.
            title = re.escape(f"{Reference.parse(self.reference).short} {self.arch}")
            tasks = re.findall(rf"Task {title}\[(\S+)\] received", victim.said())
            assert tasks
            wait_until(lambda: self._record().state.succeeded, 240)
            self._continue(victim, tasks)

    def _continue(self, victim: Process, tasks: list[str]) -> None:
        before = self._record(), built(self.rig, self.reference)
        image = before[0].image
        assert image
        # At `leased` its request may have timed out; the second one then returns the other worker's image.
        made = f"|succeeded in .*{image.descriptors[0].digest}" if self.phase is LEASED else ""
        self.wire.release()
        victim.thaw()
        victim.wait_said(*(rf"\[{task}\] (?:ignored{made})" for task in tasks))
        assert self._record() == before[0]
        assert built(self.rig, self.reference)[self.arch] == before[1][self.arch]
        assert self._record().worker != victim.name

    def _record(self) -> JobRecord:
        return self.rig.record(self.reference).jobs[self.arch]


@pytest.fixture(scope="module")
def cases(rig: Rig) -> list[Case]:
    """All cases, after their run has succeeded."""
    names = {phase.name.partition(",")[0].replace(" ", "-"): phase for phase in BUILD_PHASES}
    rig.prepare(*names)
    with ExitStack() as stack:
        cases = []
        for turn, (name, phase) in enumerate(names.items()):
            reference = rig.package(name, seconds=3 if phase is BUILDING else 0)
            for place, fault in enumerate(Fault):
                arch = ARCHES[(turn + place) % len(ARCHES)]
                wire = stack.enter_context(phase.trip(rig, reference, arch))
                cases.append(Case(rig, phase, reference, arch, fault, wire))
        with at_once(*(case.happen for case in cases)):
            push = rig.push("push-1", *names)
        assert push.wait() == 0, push.said()
    return cases


def test_the_run_in_which_they_died_ends_with_all_published_and_signed(rig: Rig, cases: list[Case]) -> None:
    check(rig, {case.reference for case in cases})


@pytest.mark.parametrize("phase", BUILD_PHASES, ids=lambda phase: phase.name)
def test_what_was_pushed_before_its_worker_died_or_froze_is_not_built_again(
    rig: Rig, cases: list[Case], phase: Phase
) -> None:
    again = 2 if phase in (BUILDING, PUSHING) else 1
    for case in (case for case in cases if case.phase is phase):
        assert built(rig, case.reference)[case.arch] == again
        SUMMARY.add(f"worker: {case.fault}", phase.name, f"built {'twice' if again == 2 else 'once'}")


def test_what_dies_with_its_worker_starts_again_within_one_lease_and_five_seconds(rig: Rig) -> None:
    rig.prepare("urgent")
    reference = rig.package("urgent", seconds=2)
    with ExitStack() as stack:
        wires = [stack.enter_context(BUILDING.trip(rig, reference, arch)) for arch in ARCHES]
        push = rig.push("push-1", "urgent")
        with ThreadPoolExecutor(len(wires)) as pool:
            # Each when it trips, since nothing holds the others.
            killed = pool.map(lambda wire: rig.processes[wire.wait()].kill(), wires)
            deaths = dict(zip(ARCHES, killed, strict=True))
        with SIGNING.trip(rig, reference) as first:
            publisher = rig.processes[first.wait()]
            with SIGNING.trip(rig, reference) as second:
                died = publisher.kill()
                first.drop()
                second.wait()
                taken = time.monotonic() - (time.time() - rig.record(reference).at)
        assert push.wait() == 0, push.said()
    check(rig, [reference])
    times = {"publisher": taken - died}
    for arch, died in deaths.items():
        _, again = rig.builds(reference, arch)
        times[f"{arch} worker"] = again.at - died
    for victim, seconds in times.items():
        SUMMARY.recoveries.append((f"kill -9 of the {victim}", seconds, ALLOWED))
        assert seconds <= ALLOWED
    rig.revive()
