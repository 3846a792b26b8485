"""Fixtures of other tests that attacks use too."""

from __future__ import annotations

import secrets
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.acceptance.conftest import lasting, make_workspace, new_database, new_workspace
from tests.integration.trust.conftest import admin, certificate, initialise, key, new, new_gun, server
from tests.support.attacker import ARCHES, Attacker, limited_maintainers
from tests.support.cosign_fixtures import key_files, other_keys, published
from tests.support.farm_command import BUSYBOX
from tests.support.remote_farm import RemoteFarm

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lab.lab import Lab

__all__ = [
    "admin",
    "certificate",
    "initialise",
    "key",
    "key_files",
    "lasting",
    "new",
    "new_gun",
    "new_workspace",
    "other_keys",
    "published",
    "server",
]


@pytest.fixture(scope="package")
def farm(lab: Lab) -> Iterator[RemoteFarm]:
    """A farm with a worker for each architecture and a publisher, none of which the attacker controls."""
    with tempfile.TemporaryDirectory(prefix="farm-t") as home:
        workspace = make_workspace(lab, Path(home))
        workspace.variables.update(limited_maintainers(lab, Path(home), workspace.org))
        farm = RemoteFarm(workspace, new_database(lab))
        try:
            with farm.serving(*ARCHES):
                yield farm
        finally:
            farm.close()


@pytest.fixture
def attacker(farm: RemoteFarm) -> Iterator[Attacker]:
    attacker = Attacker(farm)
    with attacker.registry:
        yield attacker


@pytest.fixture
def package(farm: RemoteFarm) -> str:
    """A package that may be signed, which no test has used."""
    name = f"p{secrets.token_hex(4)}"
    farm.workspace.write(name, arches=", ".join(ARCHES), Dockerfile=f"{BUSYBOX}ARG ANY\nLABEL any=${{ANY}}\n")
    farm.done("trust", "init", name)
    return name
