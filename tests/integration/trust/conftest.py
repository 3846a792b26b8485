"""A notary server from the lab, an administrator's trust directory, and new GUNs for each test."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from farm.settings import Secret
from farm.trust.notary.client import NotaryServer
from farm.trust.notary.initialise import InitialisationStep
from farm.trust.notary.initialise import initialise as initialise_gun
from farm.trust.notary.keys import SigningKey
from farm.trust.notary.sign_targets import sign_targets
from farm.trust.notary.verify import read_signatures
from farm.trust.signer import Signature, SignTarget

NewGun = Callable[[], str]
Initialise = partial[tuple[InitialisationStep, ...]]


@dataclass(frozen=True, slots=True)
class Repository:
    """A GUN, its server, and a key that signs for it."""

    gun: str
    server: NotaryServer
    key: SigningKey

    def target(self, tag: str = "v1", content: str = "index") -> SignTarget:
        """The target that signs a tag to be an index with that content."""
        digest = hashlib.sha256(content.encode()).hexdigest()
        return SignTarget(self.gun, tag, f"sha256:{digest}", len(content))

    def sign(self, *targets: SignTarget, key: SigningKey | None = None) -> None:
        """Sign these targets, or v1 if there are none."""
        sign_targets(targets or [self.target()], key or self.key, self.server)

    def signed(self) -> dict[str, Signature]:
        return read_signatures([self.gun], self.server)[self.gun].tags

    def through(self, **changes: Any) -> Repository:
        """The same repository, through a server that differs."""
        return replace(self, server=replace(self.server, **changes))


@pytest.fixture
def server(lab: Any, tmp_path: Path) -> NotaryServer:
    pins = tmp_path / "pins.yml"
    return NotaryServer(lab.notary_url, tmp_path / "work", pins, Path(lab.notary_ca), timeout=60.0)


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
    )


@pytest.fixture
def new(new_gun: NewGun, server: NotaryServer, key: SigningKey) -> Repository:
    """A repository that no server knows."""
    return Repository(new_gun(), server, key)


@pytest.fixture
def repository(new_gun: NewGun, server: NotaryServer, key: SigningKey, initialise: Initialise) -> Repository:
    """A repository for which the key may sign."""
    made = Repository(new_gun(), server, key)
    initialise(made.gun)
    return made
