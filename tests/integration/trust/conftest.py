"""A notary server from the lab, an administrator's trust directory, and GUNs of each test's own."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from farm.settings import Secret
from farm.trust.notary.client import NotaryServer
from farm.trust.notary.initialise import Step, init
from farm.trust.notary.keys import SigningKey

TIMEOUT = 60.0
NewGun = Callable[[], str]
Initialise = partial[tuple[Step, ...]]


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
    """Names that no server has heard of."""
    return lambda: f"localhost:5000/t{secrets.token_hex(6)}/pkg"


@pytest.fixture
def initialise(lab: Any, certificate: Path, server: NotaryServer, admin: Path) -> Initialise:
    """`init` with everything given but the GUN; any of it may be given differently."""
    return partial(
        init,
        certificate=certificate,
        server=server,
        trust_dir=admin,
        root_passphrase=Secret(lab.root_passphrase),
        timeout=TIMEOUT,
    )


@pytest.fixture
def make_gun(new_gun: NewGun, initialise: Initialise) -> NewGun:
    """GUNs for which the key may sign."""

    def make() -> str:
        gun = new_gun()
        initialise(gun)
        return gun

    return make


@pytest.fixture
def gun(make_gun: NewGun) -> str:
    """A GUN for which the key may sign."""
    return make_gun()
