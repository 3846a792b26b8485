"""The registry logins that docker keeps: config.json, its helpers and its stores."""

from __future__ import annotations

import base64
import json
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from farm.errors import RegistryDeniedError, SettingsError
from farm.model import DEFAULT_REGISTRY
from farm.settings import Secret

if TYPE_CHECKING:
    from pathlib import Path

_DOCKER_HUB = "https://index.docker.io/v1/"


@dataclass(frozen=True, slots=True)
class Login:
    """An account at a registry; notary's token service takes the same."""

    user: str
    password: Secret

    @property
    def basic(self) -> str:
        """The account as HTTP's basic authentication writes it."""
        return base64.b64encode(f"{self.user}:{self.password.reveal()}".encode()).decode()


@dataclass(frozen=True, slots=True)
class Credentials:
    """The logins of one docker configuration; safe to share between threads."""

    path: Path
    """Its config.json."""
    config: dict[str, Any] = field(default_factory=dict, repr=False)
    _known: dict[str, Login | None] = field(default_factory=dict, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    @staticmethod
    def load(directory: Path) -> Credentials:
        """The logins of the config.json in a directory; a directory without one holds none.

        Raises:
            SettingsError: the file cannot be read, or is not what docker writes.
        """
        path = directory / "config.json"
        try:
            config = json.loads(path.read_text())
        except FileNotFoundError:
            return Credentials(path)
        except OSError as error:
            raise SettingsError(f"{path}: cannot be read: {error.strerror}") from error
        except ValueError as error:
            raise SettingsError(f"{path}: is not JSON: {error}", hint="docker login writes it") from error
        if not isinstance(config, dict):
            raise SettingsError(f"{path}: is no docker configuration", hint="docker login writes it")
        return Credentials(path, config)

    def login_for(self, registry: str) -> Login | None:
        """The account for a registry (HOST[:PORT]); None where docker has none. A helper is asked once.

        Raises:
            RegistryDeniedError: a credential helper failed.
            SettingsError: the entry is not what docker writes.
        """
        with self._lock:
            if registry not in self._known:
                self._known[registry] = self._resolve(registry)
            return self._known[registry]

    def _resolve(self, registry: str) -> Login | None:
        if not any(self.config.get(key) for key in ("auths", "credHelpers", "credsStore")):
            return None
        import docker.auth  # noqa: PLC0415 - docker-py takes 100 ms, and most registries need no login
        import docker.errors  # noqa: PLC0415

        name = _DOCKER_HUB if registry == DEFAULT_REGISTRY else registry
        try:
            auths = docker.auth.AuthConfig(_sections(docker.auth, self.config))
            entry = auths.resolve_authconfig(name)
        except (docker.errors.InvalidConfigFile, ValueError) as error:
            raise SettingsError(f"{self.path}: is no docker configuration: {error}") from error
        except docker.errors.DockerException as error:
            raise RegistryDeniedError(
                f"the credential helper for {registry} failed: {error}", hint=f"docker login {registry}"
            ) from error
        # docker-py spells an entry of the file otherwise than a helper's answer.
        facts = {key.lower(): value for key, value in (entry or {}).items()}
        if not facts.get("password"):
            return None
        return Login(str(facts.get("username", "")), Secret(str(facts["password"])))


def _sections(auth: Any, config: dict[str, Any]) -> dict[str, Any]:
    """The configuration as docker-py's AuthConfig takes it: logins decoded, the rest as it stands."""
    parsed = auth.AuthConfig.parse_auth(config.get("auths") or {}, raise_on_error=True)
    others = {key: config[key] for key in ("credHelpers", "credsStore") if config.get(key)}
    return {"auths": parsed, **others}
