"""The rig that the tests of this directory share: three workers for each architecture, five publishers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.fault.rig import ARCHES, Rig, running_rig

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lab.lab import Lab

WORKERS = (
    *(f"{arch}-{number}" for number in range(1, 4) for arch in ARCHES),
    *(f"publish-{number}" for number in range(1, 6)),
)

RECONCILER = "publish-drained"
"""Reconciles only. Without it, tests that kill publishers wait: a new one trusts no lease for 12 s."""


@pytest.fixture(scope="package")
def rig(lab: Lab) -> Iterator[Rig]:
    """The rig, with all workers ready."""
    with running_rig(lab, [*WORKERS, RECONCILER]) as running:
        drained = running.ask("workers", "drain", RECONCILER)
        assert drained.code == 0, drained.err
        yield running
