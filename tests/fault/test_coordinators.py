"""`farm push` dies or freezes at each phase of a submission: what it has stored is done without it."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from tests.fault.faults import at_once
from tests.fault.outcome import check_built_once
from tests.fault.phases import FOLLOWING, HALF_SENT, NUMBERED, SUBMISSION_PHASES
from tests.fault.rig import ARCHES
from tests.support.farm_command import wait_until

if TYPE_CHECKING:
    from tests.fault.phases import Phase
    from tests.fault.rig import Rig
    from tests.support.proxy.tripwire import Tripwire

pytestmark = pytest.mark.timeout(900)
KILLED, FROZEN = "kill -9 of farm push", "farm push frozen until the end"
NEEDY = "submission-needy"
"""Depends on the package whose `farm push` dies while it follows."""
CASES = {
    **{f"submission-{number}": (phase, KILLED) for number, phase in enumerate(SUBMISSION_PHASES)},
    "submission-frozen": (HALF_SENT, FROZEN),
}


@dataclass(frozen=True)
class Case:
    """One submission of some packages; the phase is that of the first."""

    rig: Rig
    packages: dict[str, str]
    """Name to NAME:TAG."""
    phase: Phase
    fault: str
    wire: Tripwire

    def happen(self) -> None:
        """Cause the fault at the phase, and wait until the farm has done what was stored."""
        name, *_ = self.packages
        push = self.rig.push(f"push-{name}", *self.packages)
        self.wire.wait()
        if self.fault == KILLED:
            push.kill()
            self.wire.drop()
        else:
            push.freeze()
        if self.phase is NUMBERED:
            assert self.rig.run_of(self.packages[name]) is None
            again = self.rig.push(f"again-{name}", *self.packages)
            assert again.wait(240) == 0, again.said()
        wait_until(self._all_published, 240)
        if self.fault == FROZEN:
            self.wire.release()
            push.thaw()
            assert push.wait(240) == 0, push.said()

    def _all_published(self) -> bool:
        found = [next(self.rig.records(reference), None) for reference in self.packages.values()]
        return all(one and one[1].state.succeeded for one in found)


@pytest.fixture(scope="module")
def cases(rig: Rig) -> list[Case]:
    """All cases, after they have happened at the same time."""
    rig.prepare(*CASES, NEEDY)
    for arch in ARCHES:
        # Fast builds: then each push sends its own jobs, however many others wait.
        rig.store.text.lpush(f"farm:durations:{arch}", *["0.010"] * 50)
    with ExitStack() as stack:
        cases = []
        for name, (phase, fault) in CASES.items():
            packages = {name: rig.package(name)}
            wire = stack.enter_context(phase.trip(rig, packages[name], processes={f"push-{name}"}))
            if phase is FOLLOWING:
                packages[NEEDY] = rig.package(NEEDY, needs=packages[name])
            cases.append(Case(rig, packages, phase, fault, wire))
        with at_once(*(case.happen for case in cases)):
            pass
    return cases


def test_a_submission_is_carried_out_although_farm_push_died_and_nothing_is_built_twice(
    rig: Rig, cases: list[Case]
) -> None:
    survived = {
        reference: [] if name == NEEDY else [(case.fault, case.phase.name)]
        for case in cases
        for name, reference in case.packages.items()
    }
    check_built_once(rig, survived)


def test_farm_push_again_finds_nothing_to_do(rig: Rig, cases: list[Case]) -> None:
    push = rig.push("push-1", *(name for case in cases for name in case.packages))
    assert push.wait() == 0
    assert '"run": null' in push.said()
