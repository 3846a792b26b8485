"""The lab as a whole: all services, started and stopped together."""

from __future__ import annotations

import os
import secrets
import shutil
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from farm.private_farm.own_keys import OwnTrust, ensure_own_trust
from farm.settings import Secret
from farm.trust.notary.delegation import generate_delegation_key
from lab import engine, images, services
from lab.directory import own_directory
from lab.machine import DOCKER
from lab.process import LabError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from lab.process import Service
    from lab.services import Located


@dataclass(frozen=True)
class Lab:
    """The addresses and credentials of a running lab; passwords are new in each lab."""

    directory: Path
    services: dict[str, Service]
    """By name: registry, guarded, notary, redis, and engine if it is the lab's own. Each can be stopped and
    started again on the same port; notary loses its data."""
    engine_url: str
    registry: str
    """localhost:PORT."""
    guarded_registry: str
    """localhost:PORT of one that requires `guarded_login`."""
    guarded_login: tuple[str, str]
    base: str
    """A busybox image for all three architectures."""
    notary_url: str
    notary_ca: Path
    redis_url: str
    signing_key: Path
    signing_cert: Path
    signing_passphrase: str
    root_passphrase: str
    identity: OwnTrust
    """The policy of the lab, in which its maintainer may order and its worker may attest everything."""
    docker_cli: str = DOCKER
    """Debian's client; one that comes first on PATH may have any version."""

    def environment(self, state: Path | None = None) -> dict[str, str]:
        """Variables for `farm` to use this lab, as a private farm with its state directory in `state`."""
        return {
            "FARM_CONFIG": os.devnull,
            "FARM_STATE_DIR": str(state or self.directory / "farm"),
            "FARM_ENGINE": self.engine_url,
            "FARM_EMULATE": "true",
            "FARM_ORG": f"{self.registry}/linuxkit",
            "FARM_BUILD_ARGS": f"REGISTRY={self.registry}",
            "FARM_NOTARY_SERVER": self.notary_url,
            "FARM_NOTARY_CA": str(self.notary_ca),
            "FARM_SIGNING_KEY": str(self.signing_key),
            "FARM_SIGNING_PASSPHRASE": self.signing_passphrase,
            "FARM_ROOT_PASSPHRASE": self.root_passphrase,
            "DOCKER_CONFIG": str(self.directory / "docker"),
        }

    def identity_environment(self) -> dict[str, str]:
        """Variables for `farm` on a farm of several machines, which makes no policy and no keys."""
        return {
            "FARM_POLICY": str(self.identity.policy),
            "FARM_ORDER_KEY": str(self.identity.order_key),
            "FARM_WORKER_KEY": str(self.identity.worker_key),
        }

    def docker_trust_environment(self, home: Path) -> dict[str, str]:
        """Variables of a docker user with content trust enabled, and no access to the farm."""
        server = self.notary_url.removeprefix("https://")
        folder = home / ".docker" / "tls" / server
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(self.notary_ca, folder / "ca.crt")
        return {
            "HOME": str(home),
            "PATH": os.defpath,
            "DOCKER_HOST": self.engine_url,
            "DOCKER_CONFIG": str(home / ".docker"),
            "DOCKER_CONTENT_TRUST": "1",
            "DOCKER_CONTENT_TRUST_SERVER": self.notary_url,
        }

    def check(self) -> None:
        """Check that every service still runs.

        Raises:
            LabError: one has ended; the message shows its last lines.
        """
        for service in self.services.values():
            if service.ended:
                raise LabError(service.failure("ended"))


@contextmanager
def running_lab() -> Iterator[Lab]:
    """Run a lab while the body runs, in a directory of its own.

    Raises:
        LabError: a service does not start.
    """
    with ExitStack() as stack:
        home = stack.enter_context(own_directory())
        redis = services.redis(home, secrets.token_hex(16))
        registry, guarded = services.registry(home), services.registry(home, "guarded", guarded=True)
        notary, certificate = services.notary(home)
        parts = {"registry": registry, "guarded": guarded, "redis": redis, "notary": notary}
        if (engine_url := engine.answering_engine()) is None:
            parts["engine"] = engine.own_engine(home)
            engine_url = parts["engine"].address
        for part in parts.values():
            stack.callback(part.service.stop)
            part.service.launch()
        passphrase = secrets.token_urlsafe(16)
        key = generate_delegation_key(home / "keys", Secret(passphrase))
        (home / "docker").mkdir()
        _wait(parts)
        yield Lab(
            directory=home,
            services={name: part.service for name, part in parts.items()},
            engine_url=engine_url,
            registry=registry.address,
            guarded_registry=guarded.address,
            guarded_login=services.GUARDED_LOGIN,
            base=images.push_base(registry.address),
            notary_url=notary.address,
            notary_ca=certificate,
            redis_url=redis.address,
            signing_key=key.key,
            signing_cert=key.certificate,
            signing_passphrase=passphrase,
            root_passphrase=secrets.token_urlsafe(16),
            identity=ensure_own_trust(home / "identity"),
        )


def _wait(parts: dict[str, Located]) -> None:
    for part in parts.values():
        part.service.wait()
