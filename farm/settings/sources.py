"""Where settings come from: farm.yml, then FARM_* variables, then flags; each overrides the one before."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from farm.errors import BuildYmlError, SettingsError
from farm.settings.declaration import FIELDS, FROM_REPOSITORY, SECRET_FILES, Settings
from farm.syntax.setting_types import (
    Secret,
    below_home,
    has_password,
    read_key,
    read_key_text,
    read_path,
    read_paths,
    read_words,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

CONFIG_VARIABLE = "FARM_CONFIG"
_LONGEST = 1 << 20
"""Bytes of a farm.yml."""


def load_settings(
    flags: Mapping[str, Any],
    *,
    config: Path | None = None,
    environ: Mapping[str, str] | None = None,
    warn: Callable[[str], None] = lambda _: None,
) -> Settings:
    """Settings from every source.

    Args:
        flags: field name to value as given on the command line; None means not given.
        config: the file named by --config, or None to look in the usual places.
        environ: the environment; None for that of the process.
        warn: gets a warning that names what was ignored.

    Raises:
        SettingsError: an unknown key or variable, or a value or a secret's file that cannot be read.
    """
    environ = os.environ if environ is None else environ
    values = _from_linuxkit(environ)
    named = config or (read_path(environ[CONFIG_VARIABLE]) if environ.get(CONFIG_VARIABLE) else None)
    values |= _from_file(named or _own_file(environ))
    values |= {} if named else _from_repository(Path("farm.yml"), _own_file(environ), warn)
    values |= _from_environment(environ)
    _refuse_passwords(flags)
    values |= {
        name: _read(name, value, f"--{name.replace('_', '-')}")
        for name, value in flags.items()
        if value is not None
    }
    settings = Settings(**values)
    return replace(settings, broker=_verified(settings.broker, settings.broker_ca))


def _verified(broker: Secret | None, ca: Path | None) -> Secret | None:
    """The broker's URL with the options of TLS, which Celery reads from nowhere else."""
    url = broker.reveal() if broker else ""
    options = {"ssl_cert_reqs": "required"} | ({"ssl_ca_certs": quote(str(ca), safe="")} if ca else {})
    added = [f"{name}={value}" for name, value in options.items() if f"{name}=" not in url]
    if not url.startswith("rediss://") or not added:
        return broker
    return Secret(f"{url}{'&' if '?' in url else '?'}{'&'.join(added)}")


def _refuse_passwords(flags: Mapping[str, Any]) -> None:
    """Refuse a broker's password on the command line; the flag of linuxkit for logins is only noted."""
    if has_password(str(flags.get("broker") or "")):
        raise SettingsError(
            "--broker: has a password, which every user of this machine sees in the list of processes",
            hint="change the password; set FARM_BROKER, or broker-file in ~/.config/farm/farm.yml",
        )


def _own_file(environ: Mapping[str, str]) -> Path | None:
    """The user's file, or else the machine's."""
    own = Path(environ.get("XDG_CONFIG_HOME") or below_home(".config", environ.get("HOME")))
    candidates = (own / "farm" / "farm.yml", Path("/etc/farm/farm.yml"))
    return next((path for path in candidates if path.is_file()), None)


def _from_file(path: Path | None) -> dict[str, Any]:
    if path is None:
        return {}
    given, names = _given(path, _yaml(path))
    return _values({key: _beside(path, names[key], given[key]) for key in given}, names, f"{path}: ")


def _from_repository(path: Path, own: Path | None, warn: Callable[[str], None]) -> dict[str, Any]:
    """What the farm.yml of the current directory may set; the rest is not even parsed."""
    if not os.path.lexists(path) or (own and path.exists() and path.samefile(own)):
        return {}
    given, names = _given(path, _yaml(path, within=path.parent.resolve()))
    ignored = [key for key, name in names.items() if name not in FROM_REPOSITORY]
    if ignored:
        warn(
            f"./{path}: ignored {', '.join(ignored)}: a repository may only set "
            f"{', '.join(name.replace('_', '-') for name in FROM_REPOSITORY)} "
            f"(set the others in ~/.config/farm/farm.yml, or trust this file: --config {path})"
        )
    return _values(given, {key: name for key, name in names.items() if key not in ignored}, f"{path}: ")


def _given(path: Path, data: Any) -> tuple[dict[str, Any], dict[str, str]]:
    """The keys of a farm.yml that have a value: with their values, and with the names of their settings."""
    if not isinstance(data, dict):
        raise SettingsError(f"{path}: must be a mapping of settings")
    names = {str(key): str(key).replace("-", "_") for key in data}
    _refuse_unknown(names.items(), str(path), lambda name: name.replace("_", "-"))
    given = {key: value for key, value in data.items() if value is not None}
    return given, {key: names[key] for key in given}


def _from_linuxkit(environ: Mapping[str, str]) -> dict[str, Any]:
    """The passphrase command of ~/.moby/linuxkit/config.yml: a line of shell, as in linuxkit of 2021."""
    path = below_home(".moby/linuxkit/config.yml", environ.get("HOME"))
    if not path.is_file():
        return {}
    data = _yaml(path)
    package = data.get("pkg") if isinstance(data, dict) else None
    command = package.get("content-trust-passphrase-command") if isinstance(package, dict) else None
    if not command:
        return {}
    import shlex  # noqa: PLC0415 - few users have such a file

    return {"signing_passphrase_command": shlex.join(["/bin/sh", "-c", str(command)])}


def _yaml(path: Path, *, within: Path | None = None) -> Any:
    """What a file contains; one that must be `within` a directory is a stranger's, and checked as such."""
    # Without a farm.yml, commands start faster without these.
    from farm.syntax.yaml_fields import load  # noqa: PLC0415
    from farm.system.regular_files import read_regular  # noqa: PLC0415

    try:
        text = read_regular(path, _LONGEST, within=within) if within else path.read_bytes()
        return load(str(path), text).value() or {}
    except OSError as error:
        raise SettingsError(f"{path}: cannot be read: {error.strerror}") from error
    except BuildYmlError as error:
        raise SettingsError(error.message) from error


def _beside(path: Path, name: str, value: Any) -> Any:
    """A value of farm.yml; relative paths are relative to the folder of the file."""
    read = None if name in SECRET_FILES else FIELDS[name].metadata["read"]
    if read is read_key and not isinstance(read_key(value), Path):
        return value
    if read is read_paths:
        return [_beside(path, "docker_config", word) for word in read_words(value)]
    if read not in (None, read_path, read_key):
        return value
    return str(path.parent / value) if isinstance(value, str) and not value.startswith("~") else value


def _values(given: Mapping[str, Any], names: Mapping[str, str], where: str) -> dict[str, Any]:
    """The values of one source by setting; `names` has the setting, or secret's file, of each key."""
    values: dict[str, Any] = {}
    for key, name in names.items():
        setting = SECRET_FILES.get(name, name)
        if setting in values:
            raise SettingsError(f"{where}{setting.replace('_', '-')} is given twice", hint=f"remove {key}")
        read = _secret_in if name in SECRET_FILES else _read
        values[setting] = read(setting, given[key], f"{where}{key}")
    return values


def _secret_in(name: str, path: Any, source: str) -> Secret:
    """The secret in a file, without the newline at its end."""
    try:
        text = read_path(path).read_text("utf-8").removesuffix("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{source}: the file cannot be read: {error}") from None
    if not text or ("\n" in text and FIELDS[name].metadata["read"] is not read_key_text):
        raise SettingsError(f"{source}: {path} must hold one line, the secret")
    secret: Secret = _read(name, text, source)
    return secret


def _from_environment(environ: Mapping[str, str]) -> dict[str, Any]:
    own = {key: key[5:].lower() for key in environ if key.startswith("FARM_") and key != CONFIG_VARIABLE}
    _refuse_unknown(own.items(), "environment", lambda name: f"FARM_{name.upper()}")
    foreign = {
        item.metadata["also"]: name
        for name, item in FIELDS.items()
        if environ.get(item.metadata["also"] or "")
    }
    given = {key: name for key, name in own.items() if environ[key] != ""}
    values = {name: _read(name, environ[key], key) for key, name in foreign.items()}
    return values | _values(environ, given, "")


def _refuse_unknown(names: Iterable[tuple[str, str]], where: str, spell: Callable[[str], str]) -> None:
    for key, name in names:
        if name not in FIELDS and name not in SECRET_FILES:
            from difflib import get_close_matches  # noqa: PLC0415 - only needed for this error

            close = get_close_matches(name, FIELDS, 1)
            hint = (
                f"did you mean {spell(close[0])}?"
                if close
                else "see `farm doctor --settings` for all of them"
            )
            raise SettingsError(f"{where}: unknown setting {key}", hint=hint)


def _read(name: str, value: Any, source: str) -> Any:
    try:
        return FIELDS[name].metadata["read"](value)
    except (ValueError, OverflowError) as error:
        shown = "" if FIELDS[name].metadata["show"] else f"invalid value {value!r}: "
        raise SettingsError(f"{source}: {shown}{error}") from error
