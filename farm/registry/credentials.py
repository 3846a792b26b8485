"""The registry logins that docker keeps: config.json, its helpers and its stores."""

from __future__ import annotations

import base64
import json
import threading
import warnings
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from farm.errors import RegistryDeniedError, SettingsError
from farm.model import DEFAULT_REGISTRY
from farm.settings import Secret

if TYPE_CHECKING:
    from pathlib import Path

_DOCKER_HUB = "https://index.docker.io/v1/"
_DOCKER_HUBS = (DEFAULT_REGISTRY, "index.docker.io", "registry-1.docker.io")


@dataclass(frozen=True, slots=True)
class Login:
    """An account at a registry; notary's token service takes the same."""

    user: str
    password: Secret
    """For an account without a user, the token that the registry itself takes."""
    is_identity: bool = False
    """Whether the token is not for the registry, but for its token service, which gives others for it."""

    @property
    def is_token(self) -> bool:
        """Whether it is a token that the registry gave, and no account."""
        return not self.user and not self.is_identity

    @property
    def docker(self) -> dict[str, str]:
        """The account as the engine takes it."""
        if self.is_identity:
            return {"identitytoken": self.password.reveal()}
        if self.is_token:
            return {"registrytoken": self.password.reveal()}
        return {"username": self.user, "password": self.password.reveal()}

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
    def load(directory: Path, given: Secret | None = None) -> Credentials:
        """The logins of the config.json in a directory; a directory without one holds none.

        Args:
            directory: docker's.
            given: logins that beat them, see `read_logins`.

        Raises:
            SettingsError: the file cannot be read, or is not what docker writes.
        """
        found = Credentials._load(directory / "config.json")
        found._known.update(read_logins(given) if given else {})  # noqa: SLF001 - its own
        return found

    @staticmethod
    def _load(path: Path) -> Credentials:
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
            with warnings.catch_warnings():
                # A helper that is not there is an error below, and need not be a warning, too.
                warnings.simplefilter("ignore")
                entry = auths.resolve_authconfig(name)
        except (docker.errors.InvalidConfigFile, ValueError) as error:
            raise SettingsError(f"{self.path}: is no docker configuration: {error}") from error
        except docker.errors.DockerException as error:
            raise RegistryDeniedError(
                f"the credential helper for {registry} failed: {error}", hint=f"docker login {registry}"
            ) from error
        return _login(entry or {})


def read_logins(given: Secret) -> dict[str, Login]:
    """Registry (HOST[:PORT]) to login, from REGISTRY=USER:PASSWORD and REGISTRY=TOKEN words.

    As with `linuxkit`, a registry may be written as a URL, and docker.io as docker writes it.

    Raises:
        SettingsError: a word is neither; none is shown.
    """
    logins: dict[str, Login] = {}
    for word in filter(None, map(str.strip, given.reveal().split(","))):
        place, _, account = word.partition("=")
        user, colon, password = account.partition(":")
        host = urlsplit(place if "://" in place else f"//{place}").netloc
        if not host or not (password if colon else account) or (colon and not user):
            raise SettingsError(
                "registry-creds: cannot be read", hint="write REGISTRY=USER:PASSWORD or REGISTRY=TOKEN"
            )
        login = Login(user, Secret(password)) if colon else Login("", Secret(account))
        logins[DEFAULT_REGISTRY if host in _DOCKER_HUBS else host] = login
    return logins


def _login(entry: dict[str, Any]) -> Login | None:
    """The login of an entry; docker-py writes the words of helpers and stores with capitals."""
    words = {key.lower(): str(value) for key, value in entry.items() if value}
    if "identitytoken" in words:
        return Login("", Secret(words["identitytoken"]), is_identity=True)
    if "registrytoken" in words:
        return Login("", Secret(words["registrytoken"]))
    return Login(words.get("username", ""), Secret(words["password"])) if "password" in words else None


def _sections(auth: Any, config: dict[str, Any]) -> dict[str, Any]:
    """The configuration as docker-py's AuthConfig takes it: logins decoded, the rest as it stands."""
    parsed = auth.AuthConfig.parse_auth(config.get("auths") or {}, raise_on_error=True)
    others = {key: config[key] for key in ("credHelpers", "credsStore") if config.get(key)}
    return {"auths": parsed, **others}
