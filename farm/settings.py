"""The farm's settings: farm.yml, then FARM_* variables, then flags; each beats the one before.

This is the only module that reads the environment. Each field of `Settings` declares itself once: its
name gives the key in farm.yml (`state-dir`), the variable (`FARM_STATE_DIR`) and the flag (`--state-dir`).
A secret can stand in a file of its own instead: `broker-file`, `FARM_BROKER_FILE`.
"""

from __future__ import annotations

import difflib
import json
import os
import re
import shlex
from collections.abc import Callable, Iterable, Mapping
from dataclasses import Field, dataclass, field, fields, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

from farm.errors import SettingsError

DEFAULT_NOTARY = "https://notary.docker.io"
CONFIG_VARIABLE = "FARM_CONFIG"
_LONGEST = 3650 * 86400
"""Seconds that any setting of time may be."""
_LAST_PORT = 65535


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


def _text(value: Any) -> str:
    # YAML makes numbers, dates and truth of words; what they were before cannot be told any more.
    if not isinstance(value, str):
        raise ValueError("must be text, in quotes")  # noqa: TRY004 - told like any other bad value
    return value


def _setting(default: Any, about: str, read: Callable[[Any], Any] = _text, *, also: str | None = None) -> Any:
    """Declare a setting: `read` turns text or YAML into its value; `also` names a foreign variable."""
    return field(default=default, metadata={"about": about, "read": read, "also": also})


def _secret(value: Any) -> Secret:
    return Secret(_text(value))


def _path(value: Any) -> Path:
    try:
        return Path(_text(value)).expanduser()
    except RuntimeError as error:
        raise ValueError("there is no such user") from error


def _seconds(value: Any) -> float:
    """Seconds, or a number with s, m, h or d: 90, 5m, 4h."""
    text = str(value).strip()
    units = {"s": 1, "m": 60, "h": 3600, "d": 86400}
    unit = units.get(text[-1:], 0)
    seconds = float(text[:-1]) * unit if unit else float(text)
    if not 0 < seconds <= _LONGEST:
        raise ValueError(f"must be more than 0, and at most {_LONGEST // 86400}d")
    return seconds


Size = int
"""A number of bytes."""
_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}
_UNITS |= {f"{unit}i": 1024**power for power, unit in enumerate("kmgt", 1)}


def _bytes(value: Any) -> int:
    """Bytes, or a number with kB, MB, GB, TB, KiB, MiB, GiB or TiB: 1048576, 500MB, 20GiB."""
    text = str(value).strip()
    number = text.rstrip("kKmMgGtTiIbB ")
    unit = text[len(number) :].strip().lower().removesuffix("b")
    if unit not in _UNITS:
        raise ValueError("must be bytes, such as 500MB or 20GiB")
    size = int(float(number) * _UNITS[unit])
    if size < 0:
        raise ValueError("must not be less than 0")
    return size


def spoken_bytes(size: int) -> str:
    """A size for people: 512 B, 1.5 GiB."""
    units = ("B", "KiB", "MiB", "GiB", "TiB")
    power = min(max(size.bit_length() - 1, 0) // 10, len(units) - 1)
    number = size / 1024**power
    return f"{number:.{3 if number < 100 else 4}g} {units[power]}"  # noqa: PLR2004 - three digits or four


def _count(value: Any) -> int:
    number = int(str(value))
    if number < 1:
        raise ValueError("must be 1 or more")
    return number


def _port(value: Any) -> int:
    number = _count(value)
    if number > _LAST_PORT:
        raise ValueError(f"must be {_LAST_PORT} or less")
    return number


def _boolean(value: Any) -> bool:
    text = str(value).strip().lower()
    if text not in ("true", "yes", "on", "1", "false", "no", "off", "0"):
        raise ValueError("must be true or false")
    return text in ("true", "yes", "on", "1")


def _words(value: Any) -> tuple[str, ...]:
    parts = value if isinstance(value, list | tuple) else [value]
    return tuple(word for part in parts for word in map(str.strip, _text(part).split(",")) if word)


def _pairs(value: Any) -> tuple[tuple[str, str], ...]:
    """A mapping, in YAML or as a JSON object, or KEY=VALUE words."""
    if isinstance(value, str) and value.lstrip().startswith("{"):
        value = json.loads(value)
    if isinstance(value, Mapping):
        return tuple((_text(key), _text(item)) for key, item in value.items())
    pairs = [word.partition("=") for word in _words(value)]
    if not all(key and sign for key, sign, _ in pairs):
        raise ValueError("must be KEY=VALUE")
    return tuple({key: item for key, _, item in pairs}.items())


def _paths(value: Any) -> tuple[Path, ...]:
    return tuple(map(_path, _words(value)))


def _mirrors(value: Any) -> tuple[tuple[str, str], ...]:
    """A mapping, or REGISTRY=URL words; a URL alone is a mirror of every registry that has none: `*`."""
    if isinstance(value, str) and not value.lstrip().startswith("{"):
        value = [word if re.match(r"[^/]+=", word) else f"*={word}" for word in _words(value)]
    pairs = _pairs(value)
    for _, url in pairs:
        if not re.fullmatch(r"https?://[^/?#]+(/[^?#]*)?", url):
            raise ValueError("a mirror is REGISTRY=http://... or REGISTRY=https://...")
    return pairs


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that can be configured; see config/farm.yml for each in a sentence."""

    broker: Secret | None = _setting(
        None, "Redis URL of the farm (redis:// or rediss://); none: a private farm on this machine", _secret
    )
    broker_ca: Path | None = _setting(
        None, "CA certificate of a rediss:// broker; none: those of the system", _path
    )
    state_dir: Path = _setting(
        Path("~/.local/state/farm").expanduser(), "where the private farm keeps its data", _path
    )
    org: str | None = _setting(
        None, "organisation that beats build.yml's, such as localhost:5000/linuxkit", also="LINUXKIT_PKG_ORG"
    )
    arches: tuple[str, ...] = _setting(
        ("amd64", "arm64", "s390x"), "architectures of a package whose build.yml names none", _words
    )
    build_args: tuple[tuple[str, str], ...] = _setting(
        (), "build arguments for every package, KEY=VALUE; a package's own win", _pairs
    )
    engine: str | None = _setting(None, "URL of the Docker Engine", also="DOCKER_HOST")
    engine_certs: Path | None = _setting(
        None,
        "directory of ca.pem, cert.pem and key.pem for an engine behind TLS",
        _path,
        also="DOCKER_CERT_PATH",
    )
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
    registry_certs: Path = _setting(
        Path("/etc/docker/certs.d"),
        "directory of CA certificates, HOST[:PORT]/*.crt, as docker has it",
        _path,
    )
    registry_ca: tuple[Path, ...] = _setting(
        (), "CA certificates trusted for all registries, beside those of the system", _paths
    )
    registry_creds: Secret | None = _setting(
        None,
        "registry logins that beat docker's: REGISTRY=USER:PASSWORD or REGISTRY=TOKEN, by commas",
        _secret,
    )
    mirrors: tuple[tuple[str, str], ...] = _setting(
        (),
        "where to read first what a registry holds, REGISTRY=URL; what is published is never asked of it",
        _mirrors,
        also="LINUXKIT_MIRROR",
    )
    emulate: bool = _setting(False, "build architectures that the engine only emulates", _boolean)
    concurrency: int = _setting(1, "builds at a time on one worker", _count)
    disk_free: Size = _setting(
        1 << 30, "free bytes below which the engine's disk counts as full, and takes no build", _bytes
    )
    cache_keep: Size = _setting(20 << 30, "bytes of build cache that an engine keeps", _bytes)
    cache_age: float = _setting(
        30 * 86400.0, "how long an engine keeps build cache that nothing uses", _seconds
    )
    sign: bool = _setting(True, "sign what is published", _boolean)
    notary_server: str = _setting(
        DEFAULT_NOTARY, "URL of the notary server", also="DOCKER_CONTENT_TRUST_SERVER"
    )
    notary_ca: Path | None = _setting(None, "CA certificate of the notary server", _path)
    signing_key: Path | None = _setting(None, "PEM file of the delegation key; publishers only", _path)
    signing_role: str = _setting("targets/releases", "delegation that signs")
    signing_passphrase: Secret | None = _setting(
        None, "passphrase of the signing key", _secret, also="DOCKER_CONTENT_TRUST_REPOSITORY_PASSPHRASE"
    )
    signing_passphrase_command: str | None = _setting(
        None, "command that prints the signing key's passphrase"
    )
    root_passphrase: Secret | None = _setting(
        None,
        "passphrase of the root key; `farm trust init` only",
        _secret,
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
    push_silence: float = _setting(
        300.0, "longest time in which a push gets no further before it is tried again", _seconds
    )
    trust_timeout: float = _setting(60.0, "longest signing or verification", _seconds)
    keep: float = _setting(7 * 86400.0, "how long logs and contexts outlive their run", _seconds)
    flower_address: str = _setting("127.0.0.1", "address at which Flower listens")
    flower_port: int = _setting(5555, "port of Flower", _port)
    flower_user: str = _setting("farm", "login of Flower")
    flower_password: Secret | None = _setting(
        None, "password of Flower; none: made once, kept in state-dir", _secret
    )

    def __post_init__(self) -> None:
        if not self.arches:
            raise SettingsError("arches: names no architecture", hint="name at least one, such as amd64")


FIELDS: dict[str, Field[Any]] = {item.name: item for item in fields(Settings)}
SECRET_FILES = {f"{name}_file": name for name, item in FIELDS.items() if item.metadata["read"] is _secret}
"""What names the file of a secret, to the secret's own name."""


def load_settings(
    flags: Mapping[str, Any], *, config: Path | None = None, environ: Mapping[str, str] | None = None
) -> Settings:
    """Settings from every source.

    Args:
        flags: field name to value as given on the command line; None means not given.
        config: the file named by --config, or None to look in the usual places.
        environ: the environment; None for the process's own.

    Raises:
        SettingsError: an unknown key or variable, or a value or a secret's file that cannot be read.
    """
    environ = os.environ if environ is None else environ
    values = _from_linuxkit(environ)
    values |= _from_file(_config_file(config, environ))
    values |= _from_environment(environ)
    values |= {
        name: _read(name, value, f"--{name.replace('_', '-')}")
        for name, value in flags.items()
        if value is not None
    }
    settings = Settings(**values)
    return replace(settings, broker=_verified(settings.broker, settings.broker_ca))


def _verified(broker: Secret | None, ca: Path | None) -> Secret | None:
    """The broker's URL with what Celery takes from nowhere else: whose certificate is demanded."""
    url = broker.reveal() if broker else ""
    wanted = {"ssl_cert_reqs": "required"} | ({"ssl_ca_certs": quote(str(ca), safe="")} if ca else {})
    added = [f"{name}={value}" for name, value in wanted.items() if f"{name}=" not in url]
    if not url.startswith("rediss://") or not added:
        return broker
    return Secret(f"{url}{'&' if '?' in url else '?'}{'&'.join(added)}")


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
    data = _yaml(path)
    if not isinstance(data, dict):
        raise SettingsError(f"{path}: must be a mapping of settings")
    names = {str(key): str(key).replace("-", "_") for key in data}
    _refuse_unknown(names.items(), str(path), lambda name: name.replace("_", "-"))
    given = {key: name for key, name in names.items() if data[key] is not None}
    return _values({key: _beside(path, name, data[key]) for key, name in given.items()}, given, f"{path}: ")


def _from_linuxkit(environ: Mapping[str, str]) -> dict[str, Any]:
    """What the linuxkit of 2021 reads of ~/.moby/linuxkit/config.yml: a shell command for the passphrase."""
    path = Path(environ.get("HOME") or "/") / ".moby" / "linuxkit" / "config.yml"
    if not path.is_file():
        return {}
    data = _yaml(path)
    package = data.get("pkg") if isinstance(data, dict) else None
    command = package.get("content-trust-passphrase-command") if isinstance(package, dict) else None
    if not command:
        return {}
    return {"signing_passphrase_command": shlex.join(["/bin/sh", "-c", str(command)])}


def _yaml(path: Path) -> Any:
    import yaml  # noqa: PLC0415 - most commands run without a farm.yml, and start faster without YAML

    try:
        return yaml.safe_load(path.read_text()) or {}
    except OSError as error:
        raise SettingsError(f"{path}: cannot be read: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path}: is not YAML: {' '.join(str(error).split())}") from error


def _beside(path: Path, name: str, value: Any) -> Any:
    """A value of farm.yml; a relative path in it counts from the folder of the file."""
    read = None if name in SECRET_FILES else FIELDS[name].metadata["read"]
    if read is _paths:
        return [_beside(path, "docker_config", word) for word in _words(value)]
    if read not in (None, _path):
        return value
    return str(path.parent / value) if isinstance(value, str) and not value.startswith("~") else value


def _values(given: Mapping[str, Any], names: Mapping[str, str], where: str) -> dict[str, Any]:
    """What one source gives, by the names of the settings; `names` are those by key."""
    values: dict[str, Any] = {}
    for key, name in names.items():
        setting = SECRET_FILES.get(name, name)
        if setting in values:
            raise SettingsError(f"{where}{setting.replace('_', '-')} is given twice", hint=f"leave out {key}")
        read = _secret_in if name in SECRET_FILES else _read
        values[setting] = read(setting, given[key], f"{where}{key}")
    return values


def _secret_in(_: str, path: Any, source: str) -> Secret:
    """The secret that a file holds, less the newline at its end."""
    try:
        text = _path(path).read_text().removesuffix("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{source}: the file cannot be read: {error}") from None
    if not text or "\n" in text:
        raise SettingsError(f"{source}: {path} must hold one line, the secret")
    return Secret(text)


def _from_environment(environ: Mapping[str, str]) -> dict[str, Any]:
    ours = {key: key[5:].lower() for key in environ if key.startswith("FARM_") and key != CONFIG_VARIABLE}
    _refuse_unknown(ours.items(), "environment", lambda name: f"FARM_{name.upper()}")
    foreign = {
        item.metadata["also"]: name
        for name, item in FIELDS.items()
        if environ.get(item.metadata["also"] or "")
    }
    theirs = {key: _read(name, environ[key], key) for key, name in foreign.items()}
    given = {key: name for key, name in ours.items() if environ[key] != ""}
    return {foreign[key]: value for key, value in theirs.items()} | _values(environ, given, "")


def _refuse_unknown(names: Iterable[tuple[str, str]], where: str, spell: Callable[[str], str]) -> None:
    for key, name in names:
        if name not in FIELDS and name not in SECRET_FILES:
            close = difflib.get_close_matches(name, FIELDS, 1)
            hint = (
                f"did you mean {spell(close[0])}?"
                if close
                else "see `farm doctor --settings` for all of them"
            )
            raise SettingsError(f"{where}: unknown setting {key}", hint=hint)


def _read(name: str, value: Any, source: str) -> Any:
    try:
        return FIELDS[name].metadata["read"](value)
    except ValueError as error:
        shown = "its value" if FIELDS[name].metadata["read"] is _secret else repr(value)
        raise SettingsError(f"{source}: {shown} cannot be used: {error}") from error


def environment(names: Iterable[str]) -> dict[str, str]:
    """Those of the named variables that are set: the proxies that a build is given, the user's name."""
    return {name: os.environ[name] for name in names if name in os.environ}


def child_environment(settings: Settings, extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment in which a worker or Flower of the farm starts with just these settings.

    Secrets travel here because the environment of a process, unlike its arguments, is its owner's alone.
    """
    secrets = {item.metadata["also"] for item in FIELDS.values() if item.metadata["read"] is _secret}
    passed = {
        key: value for key, value in os.environ.items() if not key.startswith("FARM_") and key not in secrets
    }
    values = {name: getattr(settings, name) for name in FIELDS}
    passed |= {f"FARM_{name.upper()}": _write(value) for name, value in values.items() if value is not None}
    return passed | {CONFIG_VARIABLE: os.devnull} | dict(extra or {})


def _write(value: Any) -> str:
    if isinstance(value, Secret):
        return value.reveal()
    if isinstance(value, tuple):
        pairs = all(isinstance(item, tuple) for item in value)
        return json.dumps(dict(value)) if value and pairs else ",".join(map(str, value))
    return str(value)
