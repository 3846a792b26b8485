"""The registry logins of docker: config.json, credential helpers and credential stores.

https://docs.docker.com/reference/cli/docker/login/#credential-stores
"""

from __future__ import annotations

import base64
import threading
import warnings
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

from farm.errors import RegistryDeniedError, SettingsError
from farm.model import DEFAULT_REGISTRY
from farm.model.strict_json import parse_json
from farm.settings import Secret

if TYPE_CHECKING:
    from pathlib import Path

_DOCKER_HUB = "https://index.docker.io/v1/"
_HELPERS = ("credHelpers", "credsStore")
_DOCKER_HUBS = (DEFAULT_REGISTRY, "index.docker.io", "registry-1.docker.io")


class Login(NamedTuple):
    """An account at a registry; notary's token service accepts the same."""

    user: str
    password: Secret
    """For an account without a user, a token that the registry itself accepts."""
    is_identity: bool = False
    """Whether the token is for the token service, which exchanges it for tokens of the registry."""

    @property
    def is_token(self) -> bool:
        """Whether it is a token of the registry, and not an account."""
        return not self.user and not self.is_identity

    @property
    def docker(self) -> dict[str, str]:
        """As in https://docs.docker.com/reference/api/engine/version/v1.47/#section/Authentication."""
        if self.is_identity:
            return {"identitytoken": self.password.reveal()}
        if self.is_token:
            return {"registrytoken": self.password.reveal()}
        return {"username": self.user, "password": self.password.reveal()}

    @property
    def basic(self) -> str:
        """The credentials of HTTP basic authentication: https://www.rfc-editor.org/rfc/rfc7617.html#section-2."""
        return base64.b64encode(f"{self.user}:{self.password.reveal()}".encode()).decode()


@dataclass(frozen=True, slots=True)
class Credentials:
    """The logins of one docker configuration; safe to share between threads."""

    path: Path
    """Of config.json."""
    config: dict[str, Any] = field(default_factory=dict, repr=False)
    _known: dict[str, Login | None] = field(default_factory=dict, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    @staticmethod
    def load(directory: Path, given: Secret | None = None) -> Credentials:
        """The logins of the config.json in docker's directory, if it exists, overridden by `given` ones.

        Raises:
            SettingsError: the file cannot be read, or is not a docker configuration; or see `read_logins`.
        """
        path = directory / "config.json"
        return Credentials(path, _read_config(path), dict(read_logins(given)) if given else {})

    def login_for(self, registry: str) -> Login | None:
        """The account for a registry (HOST[:PORT]); None if docker has none. A helper is asked once.

        Raises:
            RegistryDeniedError: a credential helper failed.
            SettingsError: the entry is not one of docker's.
        """
        with self._lock:
            if registry not in self._known:
                self._known[registry] = self._resolve(registry)
            return self._known[registry]

    def _resolve(self, registry: str) -> Login | None:
        if not any(self.config.get(key) for key in ("auths", *_HELPERS)):
            return None
        import docker.auth  # noqa: PLC0415 - 100 ms, and most registries need no login
        import docker.errors  # noqa: PLC0415

        name = _DOCKER_HUB if registry == DEFAULT_REGISTRY else registry
        try:
            # Logins are decoded here, because docker-py would ignore an invalid one.
            parsed = docker.auth.AuthConfig.parse_auth(self.config.get("auths") or {}, raise_on_error=True)
            others = {key: self.config[key] for key in _HELPERS if self.config.get(key)}
            auths = docker.auth.AuthConfig({"auths": parsed, **others})
            with warnings.catch_warnings():
                # A missing helper is an error below, so a warning is not needed.
                warnings.simplefilter("ignore")
                entry = auths.resolve_authconfig(name)
        except (docker.errors.InvalidConfigFile, ValueError) as error:
            raise SettingsError(
                f"{self.path}: invalid docker configuration: {error}", hint="docker login writes it"
            ) from error
        except docker.errors.DockerException as error:
            raise RegistryDeniedError(
                f"the credential helper for {registry} failed: {error}", hint=f"docker login {registry}"
            ) from error
        return _login(entry or {})


def read_logins(given: Secret) -> dict[str, Login]:
    """Registry (HOST[:PORT]) to login, from comma-separated REGISTRY=USER:PASSWORD and REGISTRY=TOKEN."""
    # As with `linuxkit`, a registry may be written as a URL, and docker.io as docker writes it.
    logins: dict[str, Login] = {}
    for entry in filter(None, map(str.strip, given.reveal().split(","))):
        place, _, account = entry.partition("=")
        user, colon, password = account.partition(":")
        try:
            host = urlsplit(place if "://" in place else f"//{place}").netloc
        except ValueError:
            host = ""
        if not host or not (password if colon else account) or (colon and not user):
            raise SettingsError(
                "registry-creds: invalid entry", hint="write REGISTRY=USER:PASSWORD or REGISTRY=TOKEN"
            )
        login = Login(user, Secret(password)) if colon else Login("", Secret(account))
        logins[DEFAULT_REGISTRY if host in _DOCKER_HUBS else host] = login
    return logins


def _read_config(path: Path) -> dict[str, Any]:
    try:
        return read_config(path, path.read_bytes())
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise SettingsError(f"{path}: cannot be read: {error.strerror}") from error


_LOGIN_FIELDS = ("auth", "username", "password", "identitytoken", "registrytoken")


def read_config(path: Path, text: bytes) -> dict[str, Any]:
    """The content of a config.json; SettingsError if it is none."""
    try:
        config = parse_json(text)
    except ValueError as error:
        raise SettingsError(f"{path}: not valid JSON: {error}", hint="docker login writes it") from error
    if not isinstance(config, dict) or not _has_logins(config.get("auths") or {}):
        raise SettingsError(f"{path}: not a docker configuration", hint="docker login writes it")
    return config


def _has_logins(auths: Any) -> bool:
    """Whether these are objects with fields of text, as docker-py takes for granted."""
    return isinstance(auths, dict) and all(
        isinstance(entry, dict) and all(isinstance(entry.get(field) or "", str) for field in _LOGIN_FIELDS)
        for entry in auths.values()
    )


def _login(entry: dict[str, Any]) -> Login | None:
    """The login of an entry; docker-py returns the fields of helpers and stores with capitals."""
    fields = {key.lower(): str(value) for key, value in entry.items() if value}
    if "identitytoken" in fields:
        return Login("", Secret(fields["identitytoken"]), is_identity=True)
    if "registrytoken" in fields:
        return Login("", Secret(fields["registrytoken"]))
    return Login(fields.get("username", ""), Secret(fields["password"])) if "password" in fields else None
