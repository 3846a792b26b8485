"""Checks run side by side; the output of those that fail is shown, and nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lab import lint

if TYPE_CHECKING:
    import pytest

CHECKS = {
    "good": ["python", "-c", "print('all is well')"],
    "bad": ["python", "-c", "import sys; print('line 1: wrong'); sys.exit(1)"],
    "slow": ["python", "-c", "import time; time.sleep(60)"],
}


def test_only_what_failed_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lint, "CHECKS", CHECKS)
    checks = lint.Lint(["good", "bad"])
    checks.start()
    (failure,) = checks.failures()
    assert failure.startswith("python -c import sys")
    assert failure.endswith("failed:\nline 1: wrong")
    assert checks.failures() == []


def test_checks_that_run_can_be_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lint, "CHECKS", CHECKS)
    checks = lint.Lint(["slow"])
    checks.start()
    checks.stop()
    assert checks.failures() == []
