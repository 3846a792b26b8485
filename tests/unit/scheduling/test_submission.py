"""The submitter as people see it."""

from __future__ import annotations

import platform
import pwd
from typing import TYPE_CHECKING

from farm.scheduling.submission import whoami

if TYPE_CHECKING:
    import pytest


def test_a_submitter_is_named_by_user_and_host() -> None:
    user, _, host = whoami().rpartition("@")
    assert pwd.getpwnam(user)
    assert host == platform.node()


def test_a_user_without_a_name_on_this_machine_may_submit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.getuid", lambda: 4_000_000_000)
    assert whoami() == f"4000000000@{platform.node()}"
