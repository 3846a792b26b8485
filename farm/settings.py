"""The farm's settings: farm.yml, then FARM_* variables, then flags; each beats the one before.

This is the only module that reads the environment. Each field of `Settings` declares itself once: its
name gives the key in farm.yml (`state-dir`), the variable (`FARM_STATE_DIR`) and the flag (`--state-dir`).
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import Field, dataclass, field, fields
from pathlib import Path
from typing import Any

from farm.errors import SettingsError

DEFAULT_NOTARY = "https://notary.docker.io"
CONFIG_VARIABLE = "FARM_CONFIG"


class Secret:
    """A string that no repr, log or JSON shows; `reveal()` is the one way to it."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The secret itself."""
        return self._value

    def __repr__(self) -> str:
        return "Secret('***')"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self._value == other._value

    def __hash__(self) -> int:
        return hash(self._value)


def _setting(default: Any, about: str, read: Callable[[Any], Any] = str, *, also: str | None = None) -> Any:
    """Declare a setting: `read` turns text or YAML into its value; `also` names a foreign variable."""
    return field(default=default, metadata={"about": about, "read": read, "also": also})


def _path(value: Any) -> Path:
    return Path(str(value)).expanduser()


def _seconds(value: Any) -> float:
    """Seconds, or a number with s, m, h or d: 90, 5m, 4h."""
    text = str(value).strip()
    units = {"s": 1, "m": 60, "h": 3600, "d": 86400}
    unit = units.get(text[-1:], 0)
    seconds = float(text[:-1]) * unit if unit else float(text)
    if not seconds > 0:
        raise ValueError("must be more than 0")
    return seconds


def _count(value: Any) -> int:
    number = int(str(value))
    if number < 1:
        raise ValueError("must be 1 or more")
    return number


def _boolean(value: Any) -> bool:
    text = str(value).strip().lower()
    if text not in ("true", "yes", "on", "1", "false", "no", "off", "0"):
        raise ValueError("must be true or false")
    return text in ("true", "yes", "on", "1")


def _words(value: Any) -> tuple[str, ...]:
    parts = value if isinstance(value, list | tuple) else str(value).split(",")
    return tuple(str(part).strip() for part in parts if str(part).strip())


def _pairs(value: Any) -> tuple[tuple[str, str], ...]:
    """A mapping, or KEY=VALUE words."""
    if isinstance(value, Mapping):
        return tuple((str(key), str(item)) for key, item in value.items())
    pairs = [word.partition("=") for word in _words(value)]
    if not all(sign for _, sign, _ in pairs):
        raise ValueError("must be KEY=VALUE")
    return tuple((key, item) for key, _, item in pairs)


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that can be configured; see config/farm.yml for each in a sentence."""

    broker: Secret | None = _setting(
        None, "Redis URL of the farm (redis:// or rediss://); none: a private farm on this machine", Secret
    )
    state_dir: Path = _setting(
        Path("~/.local/state/farm").expanduser(), "where the private farm keeps its data", _path
    )
    org: str | None = _setting(None, "organisation that beats build.yml's, such as localhost:5000/linuxkit")
    arches: tuple[str, ...] = _setting(
        ("amd64", "arm64", "s390x"), "architectures of a package whose build.yml names none", _words
    )
    build_args: tuple[tuple[str, str], ...] = _setting(
        (), "build arguments for every package, KEY=VALUE; a package's own win", _pairs
    )
    engine: str | None = _setting(None, "URL of the Docker Engine", also="DOCKER_HOST")
    docker_config: Path = _setting(
        Path("~/.docker").expanduser(), "directory of docker's config.json", _path, also="DOCKER_CONFIG"
    )
    cache: Path = _setting(
        Path("~/.linuxkit/cache").expanduser(),
        "directory of the LinuxKit cache",
        _path,
        also="LINUXKIT_CACHE",
    )
    insecure_registries: tuple[str, ...] = _setting(
        (), "registries spoken to without TLS; loopback ones always are", _words
    )
    emulate: bool = _setting(False, "build architectures that the engine only emulates", _boolean)
    concurrency: int = _setting(1, "builds at a time on one worker", _count)
    sign: bool = _setting(True, "sign what is published", _boolean)
    notary_server: str = _setting(
        DEFAULT_NOTARY, "URL of the notary server", also="DOCKER_CONTENT_TRUST_SERVER"
    )
    notary_ca: Path | None = _setting(None, "CA certificate of the notary server", _path)
    signing_key: Path | None = _setting(None, "PEM file of the delegation key; publishers only", _path)
    signing_role: str = _setting("targets/releases", "delegation that signs")
    signing_passphrase: Secret | None = _setting(
        None, "passphrase of the signing key", Secret, also="DOCKER_CONTENT_TRUST_REPOSITORY_PASSPHRASE"
    )
    signing_passphrase_command: str | None = _setting(
        None, "command that prints the signing key's passphrase"
    )
    root_passphrase: Secret | None = _setting(
        None,
        "passphrase of the root key; `farm trust init` only",
        Secret,
        also="DOCKER_CONTENT_TRUST_ROOT_PASSPHRASE",
    )
    lease: float = _setting(30.0, "seconds after which a silent worker's job is given to another", _seconds)
    http_timeout: float = _setting(30.0, "longest wait for one answer of a registry", _seconds)
    build_timeout: float = _setting(4 * 3600.0, "longest build of one architecture", _seconds)
    build_patience: int = _setting(
        5,
        "how many times the longest of its last 10 builds a build may take, if that is 10 min or more",
        _count,
    )
    trust_timeout: float = _setting(60.0, "longest signing or verification", _seconds)
    keep: float = _setting(7 * 86400.0, "how long logs and contexts outlive their run", _seconds)
    flower_port: int = _setting(5555, "port of Flower, on loopback", _count)
    flower_user: str = _setting("farm", "login of Flower")
    flower_password: Secret | None = _setting(
        None, "password of Flower; none: made once, kept in state-dir", Secret
    )

    def __post_init__(self) -> None:
        if not self.arches:
            raise SettingsError("arches: names no architecture", hint="name at least one, such as amd64")


FIELDS: dict[str, Field[Any]] = {item.name: item for item in fields(Settings)}


def load_settings(
    flags: Mapping[str, Any], *, config: Path | None = None, environ: Mapping[str, str] | None = None
) -> Settings:
    """Settings from every source.

    Args:
        flags: field name to value as given on the command line; None means not given.
        config: the file named by --config, or None to look in the usual places.
        environ: the environment; None for the process's own.

    Raises:
        SettingsError: an unknown key or variable, or a value that cannot be read.
    """
    environ = os.environ if environ is None else environ
    values = _from_file(_config_file(config, environ))
    values |= _from_environment(environ)
    values |= {
        name: _read(name, value, f"--{name.replace('_', '-')}")
        for name, value in flags.items()
        if value is not None
    }
    return Settings(**values)


def _config_file(config: Path | None, environ: Mapping[str, str]) -> Path | None:
    named = config or (_path(environ[CONFIG_VARIABLE]) if environ.get(CONFIG_VARIABLE) else None)
    if named:
        return named
    home = Path(environ.get("XDG_CONFIG_HOME") or Path(environ.get("HOME", "/")) / ".config")
    places = (Path("farm.yml"), home / "farm" / "farm.yml", Path("/etc/farm/farm.yml"))
    return next((place for place in places if place.is_file()), None)


def _from_file(path: Path | None) -> dict[str, Any]:
    if path is None:
        return {}
    import yaml  # noqa: PLC0415 - most commands run without a farm.yml, and start faster without YAML

    try:
        data = yaml.safe_load(path.read_text()) or {}
    except OSError as error:
        raise SettingsError(f"{path}: cannot be read: {error.strerror}") from error
    except yaml.YAMLError as error:
        raise SettingsError(f"{path}: is not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(data, dict):
        raise SettingsError(f"{path}: must be a mapping of settings")
    names = {str(key): str(key).replace("-", "_") for key in data}
    _refuse_unknown(names.items(), str(path), lambda name: name.replace("_", "-"))
    return {
        name: _read(name, data[key], f"{path}: {key}") for key, name in names.items() if data[key] is not None
    }


def _from_environment(environ: Mapping[str, str]) -> dict[str, Any]:
    ours = {key: key[5:].lower() for key in environ if key.startswith("FARM_") and key != CONFIG_VARIABLE}
    _refuse_unknown(ours.items(), "environment", lambda name: f"FARM_{name.upper()}")
    foreign = {
        item.metadata["also"]: name
        for name, item in FIELDS.items()
        if environ.get(item.metadata["also"] or "")
    }
    named = {key: name for key, name in (*foreign.items(), *ours.items()) if environ[key] != ""}
    return {name: _read(name, environ[key], key) for key, name in named.items()}


def _refuse_unknown(names: Iterable[tuple[str, str]], where: str, spell: Callable[[str], str]) -> None:
    for key, name in names:
        if name not in FIELDS:
            close = difflib.get_close_matches(name, FIELDS, 1)
            hint = (
                f"did you mean {spell(close[0])}?"
                if close
                else "see `farm doctor --settings` for all of them"
            )
            raise SettingsError(f"{where}: unknown setting {key}", hint=hint)


def _read(name: str, value: Any, source: str) -> Any:
    if isinstance(value, str | int | float | bool | list | dict | tuple):
        try:
            return FIELDS[name].metadata["read"](value)
        except (ValueError, TypeError, IndexError) as error:
            shown = "its value" if FIELDS[name].metadata["read"] is Secret else repr(value)
            raise SettingsError(f"{source}: {shown} cannot be used: {error}") from error
    return value


def environment(names: Iterable[str]) -> dict[str, str]:
    """Those of the named variables that are set: the proxies that a build is given, the user's name."""
    return {name: os.environ[name] for name in names if name in os.environ}


def child_environment(settings: Settings, extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment in which a worker or Flower of the farm starts with just these settings.

    Secrets travel here because the environment of a process, unlike its arguments, is its owner's alone.
    """
    secrets = {item.metadata["also"] for item in FIELDS.values() if item.metadata["read"] is Secret}
    passed = {
        key: value for key, value in os.environ.items() if not key.startswith("FARM_") and key not in secrets
    }
    for name, item in FIELDS.items():
        value = getattr(settings, name)
        if value is not None and value != item.default:
            passed[f"FARM_{name.upper()}"] = _write(value)
    return passed | dict(extra or {})


def _write(value: Any) -> str:
    if isinstance(value, Secret):
        return value.reveal()
    if isinstance(value, tuple):
        return ",".join("=".join(item) if isinstance(item, tuple) else item for item in value)
    return str(value)
