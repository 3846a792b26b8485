"""Publishers that die or freeze at each phase of a publication: in one run, with a package for each phase.

Each package loses its publisher three times at the same phase: first the process that publishes, then the
whole publisher; the third freezes until another has published. Also the step before: a worker that has
claimed the chord dies or freezes before it sends the callback; and the step after: the publisher dies before
it has started the dependents.
"""

from __future__ import annotations

import re
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from tests.fault.faults import Fault, at_once
from tests.fault.outcome import check_built_once
from tests.fault.phases import CLAIMED, PUBLISH_PHASES, RECORDED
from tests.support.farm_command import wait_until

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.fault.phases import Phase
    from tests.fault.rig import Rig
    from tests.support.proxy.tripwire import Tripwire

pytestmark = pytest.mark.timeout(900)
_ENDED = re.compile(r"Task \S+ index\[\S+\] (?:ignored|succeeded)")
PLAN: dict[str, tuple[Phase, Sequence[Fault]]] = {
    **{re.sub(r"\W+", "-", phase.name): (phase, tuple(Fault)) for phase in PUBLISH_PHASES},
    **{f"claim-{number}": (CLAIMED, [fault]) for number, fault in enumerate(Fault, 1)},
    "recorded": (RECORDED, [Fault.WHOLE]),
}
"""By package: the phase of its publication, and what happens there to one process after another."""


@dataclass(frozen=True)
class Case:
    """One package, and the faults of the processes that reach a phase of its publication."""

    rig: Rig
    phase: Phase
    faults: Sequence[Fault]
    reference: str
    wire: Tripwire
    """Holds the first of them."""

    def happen(self) -> None:
        """Cause all faults at the phase, one after another."""
        with ExitStack() as stack:
            for number, fault in enumerate(self.faults):
                again = self.phase.trip(self.rig, self.reference, again=True) if number else None
                self._strike(fault, stack.enter_context(again) if again else self.wire)

    def _strike(self, fault: Fault, wire: Tripwire) -> None:
        """Cause the fault at the phase; a frozen process continues after another has done its work."""
        victim = self.rig.processes[wire.wait()]
        fault.strike(victim, wire)
        if fault is Fault.FROZEN:
            wait_until(lambda: self.rig.record(self.reference).state.succeeded, 240)
            before = self.rig.record(self.reference)
            wire.release()
            ended = self._ended()
            victim.thaw()
            wait_until(lambda: self._ended() > ended)
            assert self.rig.record(self.reference) == before

    def _ended(self) -> int:
        """The number of publications that have ended."""
        logs = [process.log.read_text(errors="replace") for process in self.rig.processes.values()]
        return sum(len(_ENDED.findall(log)) for log in logs)


@pytest.fixture(scope="module")
def cases(rig: Rig) -> list[Case]:
    """All cases, after their run has succeeded."""
    rig.prepare(*PLAN, "dependent")
    with ExitStack() as stack:
        cases = []
        for name, (phase, faults) in PLAN.items():
            reference = rig.package(name)
            wire = stack.enter_context(phase.trip(rig, reference))
            cases.append(Case(rig, phase, faults, reference, wire))
            if phase is RECORDED:
                rig.package("dependent", needs=reference)
        with at_once(*(case.happen for case in cases)):
            push = rig.push("push-1", *PLAN, "dependent")
        assert push.wait() == 0, push.said()
    return cases


def test_the_run_in_which_they_died_ends_with_all_published_and_signed_and_nothing_built_twice(
    rig: Rig, cases: list[Case]
) -> None:
    survived = {}
    for case in cases:
        role = "worker" if case.phase is CLAIMED else "publisher"
        survived[case.reference] = [(f"{role}: {fault}", case.phase.name) for fault in case.faults]
    check_built_once(rig, survived)
