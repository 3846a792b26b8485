"""Who submits, for people."""

from __future__ import annotations

import platform
import pwd
from typing import TYPE_CHECKING

from farm.scheduling.submission import whoami

if TYPE_CHECKING:
    import pytest


def test_who_submits_is_told_by_name_and_host() -> None:
    user, _, host = whoami().rpartition("@")
    assert pwd.getpwnam(user)
    assert host == platform.node()


def test_who_has_no_name_on_this_machine_may_submit_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.getuid", lambda: 4_000_000_000)
    assert whoami() == f"4000000000@{platform.node()}"
