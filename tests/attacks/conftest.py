"""Fixtures of other tests that attacks use too."""

from __future__ import annotations

from tests.acceptance.conftest import lasting, new_workspace
from tests.integration.trust.conftest import admin, certificate, initialise, key, new, new_gun, server

__all__ = [
    "admin",
    "certificate",
    "initialise",
    "key",
    "lasting",
    "new",
    "new_gun",
    "new_workspace",
    "server",
]
