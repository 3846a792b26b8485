"""Caches, a registry client, and a git repository of packages."""

from __future__ import annotations

import base64
import json
import secrets
from typing import TYPE_CHECKING

import pytest

from farm.cache.layout import Cache
from farm.registry.client import Registry
from farm.registry.credentials import Credentials

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from lab.lab import Lab


def _empty(tmp_path: Path) -> Cache:
    return Cache(tmp_path / f"cache-{secrets.token_hex(4)}", lock_timeout=60)


cache = pytest.fixture(_empty, name="cache")
other = pytest.fixture(_empty, name="other")
fresh = pytest.fixture(_empty, name="fresh")


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[Registry]:
    """A client without a login."""
    with Registry(Credentials(tmp_path / "config.json"), timeout=30) as client:
        yield client


@pytest.fixture
def guarded(lab: Lab, tmp_path: Path) -> Iterator[Registry]:
    """A client with the login of the guarded registry."""
    account = base64.b64encode(":".join(lab.guarded_login).encode()).decode()
    config = {"auths": {lab.guarded_registry: {"auth": account}}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    with Registry(Credentials.load(tmp_path), timeout=30) as client:
        yield client


@pytest.fixture
def org(lab: Lab) -> str:
    """An organisation in the lab's registry that only this test uses."""
    return f"{lab.registry}/c{secrets.token_hex(4)}"
