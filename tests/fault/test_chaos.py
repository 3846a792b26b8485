"""A short chaos run; `make chaos` is the long one."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

import pytest

from tests.fault.chaos import run_chaos
from tests.fault.summary import SUMMARY

if TYPE_CHECKING:
    from tests.fault.rig import Rig

SECONDS, PACKAGES = 16.0, 5


@pytest.mark.timeout(900)
def test_random_faults_lose_no_package_and_double_no_build(rig: Rig) -> None:
    seed = secrets.randbelow(1_000_000)
    chaos = run_chaos(rig, seed=seed, seconds=SECONDS, packages=PACKAGES)
    assert (chaos.failed(), chaos.lost(), chaos.doubled()) == ([], [], []), f"seed {seed}"
    for fault, times in sorted(chaos.survived.items()):
        SUMMARY.add(fault, f"chaos, seed {seed}", f"{times} times")
