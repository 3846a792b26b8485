"""One farm of separate processes for all cases: two workers of each architecture, two publishers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.fault.rig import ARCHES, Rig, running_rig

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lab.lab import Lab

WORKERS = (*(f"{arch}-{number}" for arch in ARCHES for number in (1, 2)), "publish-1", "publish-2")


@pytest.fixture(scope="package")
def rig(lab: Lab) -> Iterator[Rig]:
    """The farm, all workers up."""
    with running_rig(lab, WORKERS) as running:
        yield running
