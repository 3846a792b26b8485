"""The name of the user who submits or cancels."""

from __future__ import annotations

import platform
import pwd
from typing import TYPE_CHECKING

from farm.system.identity import user_at_host

if TYPE_CHECKING:
    import pytest


def test_a_user_is_named_with_the_host() -> None:
    user, _, host = user_at_host().rpartition("@")
    assert pwd.getpwnam(user)
    assert host == platform.node()


def test_a_user_without_a_name_on_this_machine_is_named_by_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.getuid", lambda: 4_000_000_000)
    assert user_at_host() == f"4000000000@{platform.node()}"
