"""`farm push` dies or freezes at each phase of a submission: what it has stored is done without it."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from tests.fault.faults import at_once
from tests.fault.outcome import check_built_once
from tests.fault.phases import FOLLOWING, HALF_SENT, NUMBERED, SUBMISSION_PHASES
from tests.support.farm_command import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

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
        with self._only_sender() if self.phase is HALF_SENT else nullcontext():
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

    @contextmanager
    def _only_sender(self) -> Iterator[None]:
        """Freeze all others that send jobs: workers do so only when they take one."""
        publishers = [one for one in self.rig.workers if one.name.startswith("publish")]
        for process in publishers:
            process.freeze()
        try:
            yield
        finally:
            for process in publishers:
                process.thaw()

    def _all_published(self) -> bool:
        found = [next(self.rig.records(reference), None) for reference in self.packages.values()]
        return all(one and one[1].state.succeeded for one in found)


@pytest.fixture(scope="module")
def cases(rig: Rig) -> list[Case]:
    """All cases, after they have happened: pushes that must send their jobs alone, the others at once."""
    rig.prepare(*CASES, NEEDY)
    with ExitStack() as stack:
        cases = []
        for name, (phase, fault) in CASES.items():
            packages = {name: rig.package(name)}
            wire = stack.enter_context(phase.trip(rig, packages[name], processes={f"push-{name}"}))
            if phase is FOLLOWING:
                packages[NEEDY] = rig.package(NEEDY, needs=packages[name])
            cases.append(Case(rig, packages, phase, fault, wire))
        for case in cases:
            if case.phase is HALF_SENT:
                case.happen()
        with at_once(*(case.happen for case in cases if case.phase is not HALF_SENT)):
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
