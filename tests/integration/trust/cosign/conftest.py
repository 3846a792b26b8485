"""An index in the lab's registry, the farm's key pair, and another one."""

from __future__ import annotations

import pytest

from lab.debian import cosign
from tests.support.cosign_fixtures import key_files, other_keys, published

__all__ = ["key_files", "other_keys", "published"]


@pytest.fixture
def on_path(monkeypatch: pytest.MonkeyPatch) -> None:
    """The cosign program as if it were installed."""
    monkeypatch.setenv("PATH", f"{cosign().parent}:/usr/bin:/bin")
