"""The lab as a whole: started, described, and taken down again."""

from __future__ import annotations

import os
import secrets
import shutil
import tempfile
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from farm.settings import Secret
from farm.trust.delegation import generate_delegation_key
from lab import engine, images, services

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lab.process import Service

_PREFIX = "farm-lab-"
DOCKER = "/usr/bin/docker"
"""Debian's client; another that comes first on PATH may be of any age."""


@dataclass(frozen=True)
class Lab:
    """Where everything is; passwords are made anew for each lab."""

    directory: Path
    services: dict[str, Service]
    """By name: registry, guarded, notary, redis, and engine if it is the lab's own."""
    engine_url: str
    registry: str
    """localhost:PORT."""
    guarded_registry: str
    """localhost:PORT of one that asks for `guarded_login`."""
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
    docker_cli: str = DOCKER

    def environment(self, state: Path | None = None) -> dict[str, str]:
        """The variables with which `farm` uses this lab, as a private farm that keeps its state in `state`."""
        return {
            "FARM_STATE_DIR": str(state or self.directory / "farm"),
            "FARM_ENGINE": self.engine_url,
            "FARM_ORG": f"{self.registry}/linuxkit",
            "FARM_BUILD_ARGS": f"REGISTRY={self.registry}",
            "FARM_NOTARY_SERVER": self.notary_url,
            "FARM_NOTARY_CA": str(self.notary_ca),
            "FARM_SIGNING_KEY": str(self.signing_key),
            "FARM_SIGNING_PASSPHRASE": self.signing_passphrase,
            "FARM_ROOT_PASSPHRASE": self.root_passphrase,
            "DOCKER_CONFIG": str(self.directory / "docker"),
        }

    def stranger(self, home: Path) -> dict[str, str]:
        """The variables of a docker user who trusts signed tags only, and never saw the farm."""
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


@contextmanager
def running_lab(directory: Path | None = None) -> Iterator[Lab]:
    """A lab for as long as the body runs.

    Args:
        directory: an empty one for its data; None for one in the system's temporary directory, removed at the end.

    Raises:
        LabError: a part of it does not come up.
    """
    with ExitStack() as stack:
        home = directory or stack.enter_context(_own_directory())
        parts = {
            "registry": services.registry(home),
            "guarded": services.registry(home, "guarded", guarded=True),
            "redis": services.redis(home, secrets.token_hex(16)),
        }
        parts["notary"], ca = services.notary(home)
        url = engine.answering_engine()
        if url is None:
            stack.callback(engine.remove_bridge)
            parts["engine"] = engine.own_engine(home)
            url = parts["engine"].address
        for part in parts.values():
            stack.callback(part.service.stop)
            part.service.launch()
        key_passphrase = secrets.token_urlsafe(16)
        key = generate_delegation_key(home / "keys", Secret(key_passphrase))
        (home / "docker").mkdir()
        for part in parts.values():
            part.service.wait()
        yield Lab(
            directory=home,
            services={name: part.service for name, part in parts.items()},
            engine_url=url,
            registry=parts["registry"].address,
            guarded_registry=parts["guarded"].address,
            guarded_login=services.GUARDED_LOGIN,
            base=images.push_base(parts["registry"].address),
            notary_url=parts["notary"].address,
            notary_ca=ca,
            redis_url=parts["redis"].address,
            signing_key=key.key,
            signing_cert=key.certificate,
            signing_passphrase=key_passphrase,
            root_passphrase=secrets.token_urlsafe(16),
        )


@contextmanager
def _own_directory() -> Iterator[Path]:
    """A short path, since sockets lie in it; what killed labs left behind is removed."""
    parent = Path(tempfile.gettempdir())
    for left in parent.glob(f"{_PREFIX}*"):
        if not Path("/proc", left.name.removeprefix(_PREFIX)).exists():
            shutil.rmtree(left, ignore_errors=True)
    home = parent / f"{_PREFIX}{os.getpid()}"
    home.mkdir(mode=0o700)
    try:
        yield home
    finally:
        with suppress(OSError):
            shutil.rmtree(home)
