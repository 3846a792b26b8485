"""The rig itself: without a fault, every phase is seen, and a package is built once, published and signed."""

from __future__ import annotations

import json
from contextlib import ExitStack
from typing import TYPE_CHECKING

from tests.fault.phases import BUILD_PHASES, CLAIMED, PUBLISH_PHASES
from tests.fault.rig import ARCHES
from tests.support.proxy.tripwire import Hold

if TYPE_CHECKING:
    from tests.fault.rig import Rig


def test_every_phase_is_seen_on_the_wire_of_a_run_without_faults(rig: Rig) -> None:
    reference = rig.package("quiet", seconds=0.2)
    rig.prepare("quiet")
    with ExitStack() as stack:
        wires = {
            phase.name: stack.enter_context(phase.trip(rig, reference, "amd64", hold=Hold.NOTHING))
            for phase in (*BUILD_PHASES, CLAIMED, *PUBLISH_PHASES)
        }
        push = rig.push("push-1", "quiet")
        assert push.wait() == 0, push.said()
    # Nothing but JSON was printed: no warning, and no traceback at the end.
    assert json.loads(push.said())["state"] == "done"
    assert [name for name, wire in wires.items() if not wire.hits and name != "pushed, unsigned"] == []
    for arch in ARCHES:
        (build,) = rig.builds(reference, arch)
        assert build.process.startswith(arch)
    assert len(list(rig.records(reference))) == 1
