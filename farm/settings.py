"""The farm's settings: farm.yml, then FARM_* variables, then flags; each overrides the one before.

This is the only module that reads the environment. Each field of `Settings` declares itself once: its
name gives the key in farm.yml (`state-dir`), the variable (`FARM_STATE_DIR`) and the flag (`--state-dir`).
A secret can be read from a file of its own: `broker-file`, `FARM_BROKER_FILE`.

The farm.yml of the current directory may be a stranger's, who wrote the repository there. Only what concerns
packages alone is taken from it (`FROM_REPOSITORY`); everything else comes from the user or the machine.
"""

from __future__ import annotations

import json
import os
import shlex
from dataclasses import Field, dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from farm.errors import BuildYmlError, SettingsError
from farm.syntax.quantities import Size, read_bytes, read_seconds
from farm.syntax.setting_types import (
    SECRET_READERS,
    Secret,
    below_home,
    has_password,
    hide_all,
    hide_values,
    read_boolean,
    read_broker,
    read_builder,
    read_cache_names,
    read_count,
    read_key,
    read_key_text,
    read_mirrors,
    read_notary,
    read_pairs,
    read_path,
    read_paths,
    read_platforms,
    read_port,
    read_provenance,
    read_realms,
    read_sbom,
    read_secret,
    read_signers,
    read_text,
    read_words,
    without_login,
    without_logins,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

CONFIG_VARIABLE = "FARM_CONFIG"
__all__ = ["Secret"]


def _setting(
    default: Any,
    about: str,
    read: Callable[[Any], Any] = read_text,
    *,
    also: str | None = None,
    show: Callable[[Any], Any] | None = None,
    repository: bool = False,
) -> Any:
    """Declare a setting: `read` parses text or YAML, `also` names a variable of another program.

    `show` replaces what is not to be shown; `repository` is for one that ./farm.yml may set.
    """
    show = hide_all if read in SECRET_READERS else show
    about_it = {"about": about, "read": read, "also": also, "show": show, "repository": repository}
    return field(default=default, metadata=about_it)


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that can be configured; config/farm.yml lists the settings with their defaults."""

    broker: Secret | None = _setting(
        None,
        "Redis URL of the farm (redis:// or rediss://); none: a private farm on this machine",
        read_broker,
    )
    broker_ca: Path | None = _setting(
        None, "CA certificate of a rediss:// broker; none: those of the system", read_path
    )
    state_dir: Path = _setting(
        below_home(".local/state/farm"), "where the private farm keeps its data", read_path
    )
    org: str | None = _setting(
        None,
        "organisation that overrides build.yml's, such as localhost:5000/linuxkit",
        also="LINUXKIT_PKG_ORG",
        repository=True,
    )
    arches: tuple[str, ...] = _setting(
        ("amd64", "arm64", "s390x"),
        "architectures of a package whose build.yml names none",
        read_words,
        repository=True,
    )
    include_ignored: bool = _setting(
        False, "build what git ignores too, and make tags from all files of the directories", read_boolean
    )
    build_args: tuple[tuple[str, str], ...] = _setting(
        (),
        "build arguments for all packages, KEY=VALUE; a package's own override them",
        read_pairs,
        show=hide_values,
        repository=True,
    )
    engine: str | None = _setting(None, "URL of the Docker Engine", also="DOCKER_HOST", show=without_login)
    engine_certs: Path | None = _setting(
        None,
        "directory of ca.pem, cert.pem and key.pem for an engine behind TLS",
        read_path,
        also="DOCKER_CERT_PATH",
    )
    docker_config: Path = _setting(
        below_home(".docker"), "directory of docker's config.json", read_path, also="DOCKER_CONFIG"
    )
    cache: Path = _setting(
        below_home(".linuxkit/cache"),
        "directory of the LinuxKit cache",
        read_path,
        also="LINUXKIT_CACHE",
    )
    insecure_registries: tuple[str, ...] = _setting(
        (), "registries to contact without TLS; loopback ones always are", read_words
    )
    registry_certs: Path = _setting(
        Path("/etc/docker/certs.d"),
        "directory of CA certificates, HOST[:PORT]/*.crt, laid out as for docker",
        read_path,
    )
    registry_ca: tuple[Path, ...] = _setting(
        (), "CA certificates trusted for all registries, in addition to the system's", read_paths
    )
    registry_creds: Secret | None = _setting(
        None,
        "registry logins that override docker's: REGISTRY=USER:PASSWORD or REGISTRY=TOKEN, comma-separated",
        read_secret,
    )
    registry_token_realms: tuple[tuple[str, str], ...] = _setting(
        (),
        "token services on another host that may get a registry's login: REGISTRY=HOST[:PORT]",
        read_realms,
    )
    mirrors: tuple[tuple[str, str], ...] = _setting(
        (),
        "mirrors to read from first, REGISTRY=URL; they never decide what is built or signed",
        read_mirrors,
        also="LINUXKIT_MIRROR",
        show=without_logins,
    )
    emulate: bool = _setting(False, "build architectures that the engine can only emulate", read_boolean)
    builder: str = _setting(
        "auto",
        "builder to use: engine, buildx, or auto (buildx if a setting below needs it, else engine)",
        read_builder,
    )
    builders: tuple[tuple[str, str], ...] = _setting(
        (),
        "where buildx builds a platform: linux/ARCH=NAME of a docker context or builder",
        read_platforms,
        show=without_logins,
    )
    build_secrets: tuple[tuple[str, str], ...] = _setting(
        (),
        "secrets for RUN --mount=type=secret: ID=FILE or ID=env:VARIABLE of the worker; buildx only",
        read_pairs,
    )
    build_ssh: tuple[str, ...] = _setting(
        (),
        "agents and keys for RUN --mount=type=ssh: default, or ID=SOCKET-OR-KEY of the worker; buildx only",
        read_words,
    )
    build_cache_from: tuple[str, ...] = _setting(
        (), "registry caches to read; {name} and {arch} are those of the build; buildx only", read_words
    )
    build_cache_to: tuple[str, ...] = _setting(
        (), "registry caches to write, such as HOST/cache/{name}:{arch}; buildx only", read_cache_names
    )
    sbom: str | None = _setting(
        None, "attach an SBOM: true, or the image of a generator; buildx only", read_sbom
    )
    provenance: str | None = _setting(
        None,
        "attach provenance: min, or max, which includes build arguments; buildx only",
        read_provenance,
    )
    concurrency: int = _setting(1, "builds at a time on one worker", read_count)
    disk_free: Size = _setting(
        1 << 30, "free bytes below which the engine's disk counts as full, and no build starts", read_bytes
    )
    engine_disk: Path | None = _setting(
        None,
        "directory on the engine's disk, as a worker in a container sees it; none: the data directory",
        read_path,
    )
    cache_keep: Size = _setting(20 << 30, "bytes of build cache that an engine keeps", read_bytes)
    cache_age: float = _setting(30 * 86400.0, "how long an engine keeps unused build cache", read_seconds)
    policy: Path | None = _setting(
        None, "policy file: who may order what, and which keys build which architectures", read_path
    )
    order_key: Path | None = _setting(
        None, "SSH key that signs build orders; a .pub file uses the agent", read_path
    )
    sign: bool = _setting(True, "sign what is published", read_boolean)
    notary_server: str | None = _setting(
        None,
        "URL of the notary server; `registry` for the host of each registry",
        read_notary,
        also="DOCKER_CONTENT_TRUST_SERVER",
        show=without_login,
    )
    notary_ca: Path | None = _setting(None, "CA certificate of the notary server", read_path)
    trust_pins: Path | None = _setting(
        None,
        "file of the root keys that may certify signatures; none: trust/pins.yml in docker-config",
        read_path,
    )
    signing_key: Path | None = _setting(None, "PEM file of the delegation key; publishers only", read_path)
    signing_role: str = _setting("targets/releases", "delegation that signs")
    signing_passphrase: Secret | None = _setting(
        None, "passphrase of the signing key", read_secret, also="DOCKER_CONTENT_TRUST_REPOSITORY_PASSPHRASE"
    )
    signing_passphrase_command: str | None = _setting(
        None, "command that prints the signing key's passphrase", show=hide_all
    )
    signers: tuple[str, ...] = _setting(
        (),
        "what signs, and must have signed: cosign, notary, or both; none: those that are configured",
        read_signers,
    )
    cosign_key: Path | str | None = _setting(
        None,
        "cosign's private key: a file, or a URI that the cosign program takes (pkcs11:, k8s://, awskms:// "
        "...); publishers only",
        read_key,
    )
    cosign_private_key: Secret | None = _setting(
        None,
        "the text of cosign's private key, if cosign-key is not set; publishers only",
        read_key_text,
        also="COSIGN_PRIVATE_KEY",
    )
    cosign_password: Secret | None = _setting(
        None, "passphrase of cosign's private key", read_secret, also="COSIGN_PASSWORD"
    )
    cosign_public_key: Path | None = _setting(
        None, "cosign's public key; none: the .pub file beside cosign-key, or that of the key", read_path
    )
    root_passphrase: Secret | None = _setting(
        None,
        "passphrase of the root key; `farm trust init` only",
        read_secret,
        also="DOCKER_CONTENT_TRUST_ROOT_PASSPHRASE",
    )
    worker_key: Path | None = _setting(
        None, "key with which this worker attests its images; none: worker-key.pem in state-dir", read_path
    )
    lease: float = _setting(30.0, "seconds after which the job of a silent worker is requeued", read_seconds)
    http_timeout: float = _setting(30.0, "longest wait for one answer of a registry or engine", read_seconds)
    build_timeout: float = _setting(4 * 3600.0, "longest build of one architecture", read_seconds)
    build_patience: int = _setting(
        5,
        "time limit of a build, as a multiple of the longest of its last 10; never below 10 min",
        read_count,
    )
    push_silence: float = _setting(
        300.0, "longest time without progress before a push is tried again", read_seconds
    )
    trust_timeout: float = _setting(60.0, "longest signing or verification", read_seconds)
    keep: float = _setting(7 * 86400.0, "how long runs, logs and contexts are kept", read_seconds)
    flower_address: str = _setting("127.0.0.1", "address at which Flower listens")
    flower_port: int = _setting(5555, "port of Flower", read_port)
    flower_user: str = _setting("farm", "user name for Flower")
    flower_password: Secret | None = _setting(
        None, "password for Flower; none: generated once, kept in state-dir", read_secret
    )

    def __post_init__(self) -> None:
        if not self.arches:
            raise SettingsError("arches: must name an architecture", hint="name at least one, such as amd64")


FIELDS: dict[str, Field[Any]] = {item.name: item for item in fields(Settings)}
SECRET_FILES = {
    f"{name}_file": name for name, item in FIELDS.items() if item.metadata["read"] in SECRET_READERS
}
"""Name of the setting with a secret's file, to the name of the secret."""
FROM_REPOSITORY = tuple(name for name, item in FIELDS.items() if item.metadata["repository"])
"""The settings that ./farm.yml may have: those of packages alone, none of which decides what this machine
runs, reads, trusts or gives away."""
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
    return {"signing_passphrase_command": shlex.join(["/bin/sh", "-c", str(command)])}


def _yaml(path: Path, *, within: Path | None = None) -> Any:
    """What a file contains; one that must be `within` a directory is a stranger's, and checked as such."""
    # Without a farm.yml, commands start faster without these.
    from farm.syntax.yaml_fields import load  # noqa: PLC0415
    from farm.system.files import read_regular  # noqa: PLC0415

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


def shown_value(name: str, value: Any) -> Any:
    """The value of a setting without what must not be shown: secrets, logins, values of build arguments."""
    show = FIELDS[name].metadata["show"]
    return show(value) if show and value is not None else value


def environment(names: Iterable[str] | None = None) -> dict[str, str]:
    """Those of the named variables that are set; without names, all variables."""
    return {name: os.environ[name] for name in (os.environ if names is None else names) if name in os.environ}


def child_environment(settings: Settings, extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment in which a worker or Flower starts with exactly these settings.

    It may hold secrets: only its owner can read the environment of a process, unlike its arguments.
    """
    passed = _inherited()
    values = {name: getattr(settings, name) for name in FIELDS}
    passed |= {f"FARM_{name.upper()}": _write(value) for name, value in values.items() if value is not None}
    return passed | {CONFIG_VARIABLE: os.devnull, "PYTHONSAFEPATH": "1"} | dict(extra or {})


def without_signing_keys(settings: Settings) -> Settings:
    """The settings of a process that must not be able to sign, such as one that runs code of packages."""
    nothing: dict[str, Any] = dict.fromkeys(_SIGNING)
    return replace(settings, **nothing)


_SIGNING = (
    "signing_key",
    "signing_passphrase",
    "signing_passphrase_command",
    "cosign_key",
    "cosign_private_key",
    "cosign_password",
    "root_passphrase",
)


def cosign_environment(passphrase: Secret | None) -> dict[str, str]:
    """The environment of the cosign program, which holds what reaches its KMS, and no secret of the farm."""
    return _inherited() | ({"COSIGN_PASSWORD": passphrase.reveal()} if passphrase else {})


def buildx_environment(kept: Iterable[str]) -> dict[str, str]:
    """The environment of buildx and its credential helpers.

    Left out are the farm's settings and secrets, and variables that would override buildx's command line,
    except for those in `kept`.
    """
    found = {key: value for key, value in _inherited().items() if not key.startswith(_OVERRIDING)}
    return found | environment(kept)


_OVERRIDING = ("DOCKER_", "BUILDX_", "BUILDKIT_", "SOURCE_DATE_EPOCH", "OTEL_")


def _inherited() -> dict[str, str]:
    secrets = {item.metadata["also"] for item in FIELDS.values() if item.metadata["read"] in SECRET_READERS}
    return {
        key: value for key, value in os.environ.items() if not key.startswith("FARM_") and key not in secrets
    }


def _write(value: Any) -> str:
    if isinstance(value, Secret):
        return value.reveal()
    if isinstance(value, tuple):
        pairs = all(isinstance(item, tuple) for item in value)
        return json.dumps(dict(value)) if value and pairs else ",".join(map(str, value))
    return str(value)
