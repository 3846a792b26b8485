"""A notary server from the lab, an administrator's trust directory, and new GUNs for each test."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from farm.settings import Secret
from farm.trust.notary.client import NotaryServer
from farm.trust.notary.initialise import InitialisationStep
from farm.trust.notary.initialise import initialise as initialise_gun
from farm.trust.notary.keys import SigningKey

TIMEOUT = 60.0
NewGun = Callable[[], str]
Initialise = partial[tuple[InitialisationStep, ...]]


@pytest.fixture
def server(lab: Any, tmp_path: Path) -> NotaryServer:
    return NotaryServer(lab.notary_url, tmp_path / "work", Path(lab.notary_ca))


@pytest.fixture
def key(lab: Any) -> SigningKey:
    return SigningKey(Path(lab.signing_key), Secret(lab.signing_passphrase))


@pytest.fixture
def certificate(lab: Any) -> Path:
    return Path(lab.signing_cert)


@pytest.fixture(scope="session")
def admin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The administrator's trust directory; one root key for the whole session."""
    return tmp_path_factory.mktemp("admin")


@pytest.fixture
def new_gun() -> NewGun:
    """Makes GUNs that no server knows."""
    return lambda: f"localhost:5000/t{secrets.token_hex(6)}/pkg"


@pytest.fixture
def initialise(lab: Any, certificate: Path, server: NotaryServer, admin: Path) -> Initialise:
    """`initialise` with all arguments but the GUN; a test may override any of them."""
    return partial(
        initialise_gun,
        certificate=certificate,
        server=server,
        trust_dir=admin,
        root_passphrase=Secret(lab.root_passphrase),
        timeout=TIMEOUT,
    )


@pytest.fixture
def make_gun(new_gun: NewGun, initialise: Initialise) -> NewGun:
    """Makes GUNs for which the key may sign."""

    def make() -> str:
        gun = new_gun()
        initialise(gun)
        return gun

    return make


@pytest.fixture
def gun(make_gun: NewGun) -> str:
    """A GUN for which the key may sign."""
    return make_gun()
