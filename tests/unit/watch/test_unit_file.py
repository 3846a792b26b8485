"""The unit for systemd is what systemd understands, and is hardened."""

from __future__ import annotations

import re
import subprocess
from typing import TYPE_CHECKING

from lab.machine import ROOT

if TYPE_CHECKING:
    from pathlib import Path

UNIT = ROOT / "config" / "systemd" / "farm-watch.service"


def test_systemd_accepts_the_unit_and_calls_it_hardened(tmp_path: Path) -> None:
    unit = tmp_path / UNIT.name
    # A program that exists: systemd would complain about that alone.
    unit.write_text(UNIT.read_text().replace("/opt/farm/bin/farm", "/bin/true"))
    command = ["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", str(unit)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert unit.name not in done.stderr, done.stderr
    command = ["systemd-analyze", "security", "--offline=true", "--no-pager", str(unit)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    exposure = re.search(r"Overall exposure level for \S+: ([\d.]+)", done.stdout)
    assert exposure, done.stderr
    assert float(exposure[1]) < 4
