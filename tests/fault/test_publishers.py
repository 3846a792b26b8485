"""Publishers that die or freeze at each phase of a publication: in one run, with a package for each phase.

Each package loses its publisher three times at the same phase: first the process that publishes, then the
whole publisher; the third freezes until another has published. Also the step before: a worker that has
claimed the chord dies or freezes before it sends the callback; and the step after: the publisher dies before
it has started the dependents.
"""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from tests.fault.outcome import built, check, name_of
from tests.fault.phases import CLAIMED, PUBLISH_PHASES, RECORDED
from tests.fault.summary import SUMMARY
from tests.support.farm_command import wait_until

if TYPE_CHECKING:
    from tests.fault.phases import Phase
    from tests.fault.process import Process
    from tests.fault.rig import Rig
    from tests.support.proxy.tripwire import Tripwire

pytestmark = pytest.mark.timeout(900)
CHILD, WHOLE, FROZEN = FAULTS = (
    "kill -9 of the publishing child",
    "kill -9 of the publisher",
    "publisher frozen past its lease",
)
CLAIMS = dict(zip(("claim-1", "claim-2", "claim-3"), FAULTS, strict=True))
"""What happens to the worker that claimed the chord of each of these packages."""
_ENDED = re.compile(r"Task \S+ index\[\S+\] (?:ignored|succeeded)")


@dataclass
class Case:
    """One package, and the process that reaches a phase of its publication."""

    rig: Rig
    phase: Phase
    reference: str
    stack: ExitStack
    wire: Tripwire | None = None

    def arm(self) -> None:
        """Set a tripwire for the next process that reaches the phase."""
        name, _, tag = self.reference.rpartition("/")[2].partition(":")
        pattern = self.phase.at(package=name, tag=tag, again=self.wire is not None)
        self.wire = self.stack.enter_context(self.rig.tripwire(self.phase.backend, pattern, self.phase.hold))

    def caught(self) -> Process:
        """Wait for the process that reaches the phase."""
        assert self.wire is not None
        return self.rig.processes[self.wire.wait()]

    def strike(self, fault: str) -> None:
        """Cause the fault at the phase; a frozen process continues after another has done its work."""
        victim, wire = self.caught(), self.wire
        assert wire is not None
        if fault == FROZEN:
            victim.freeze()
            wait_until(lambda: self.rig.record(self.reference).state.succeeded, 240)
            before = self.rig.record(self.reference)
            wire.release()
            ended = ends(self.rig)
            victim.thaw()
            wait_until(lambda: ends(self.rig) > ended)
            assert self.rig.record(self.reference) == before
        elif fault == CHILD:
            assert victim.kill_child(), f"{victim.name} has no child"
            wire.drop()
        else:
            victim.kill()
            wire.drop()
            victim.start()

    def strike_all(self) -> None:
        """Cause all faults, one after another."""
        for fault in FAULTS:
            self.strike(fault)
            if fault != FROZEN:
                self.arm()


def ends(rig: Rig) -> int:
    """The number of publications that have ended."""
    return sum(len(_ENDED.findall(process.said_ever())) for process in rig.processes.values())


@pytest.fixture(scope="module")
def cases(rig: Rig) -> dict[str, Case]:
    """All cases, by package, after their run has succeeded."""
    phases = {re.sub(r"\W+", "-", phase.name): phase for phase in (*PUBLISH_PHASES, RECORDED)}
    phases |= dict.fromkeys(CLAIMS, CLAIMED)
    rig.prepare(*phases, "dependent")
    with ExitStack() as stack, ThreadPoolExecutor(len(phases)) as pool:
        cases = {name: Case(rig, phase, rig.package(name), stack) for name, phase in phases.items()}
        (recorded,) = [case for case in cases.values() if case.phase is RECORDED]
        rig.package("dependent", needs=recorded.reference)
        work = []
        for name, case in cases.items():
            case.arm()
            if case.phase in PUBLISH_PHASES:
                work.append(pool.submit(case.strike_all))
            else:
                work.append(pool.submit(case.strike, CLAIMS.get(name, WHOLE)))
        push = rig.push("push-1", *phases, "dependent")
        if errors := [error for one in work if (error := one.exception())]:
            raise BaseExceptionGroup("not every case happened as it should", errors)
        assert push.wait() == 0, push.said()
    return cases


def test_the_run_in_which_they_died_ends_with_all_published_and_signed_and_nothing_built_twice(
    rig: Rig, cases: dict[str, Case]
) -> None:
    check(rig, [case.reference for case in cases.values()])
    for case in cases.values():
        assert set(built(rig, case.reference).values()) == {1}
        for fault in FAULTS if case.phase in PUBLISH_PHASES else [CLAIMS.get(name_of(case.reference), WHOLE)]:
            SUMMARY.survived.append((fault, case.phase.name, "one index, signed; nothing built twice"))
