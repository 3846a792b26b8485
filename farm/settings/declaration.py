"""Every setting: each field of `Settings` declares itself once.

Its name gives the key in farm.yml (`state-dir`), the variable (`FARM_STATE_DIR`) and the flag
(`--state-dir`).
"""

from __future__ import annotations

from dataclasses import Field, dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from farm.errors import SettingsError
from farm.syntax.quantities import Size, read_bytes, read_seconds
from farm.syntax.setting_types import (
    SECRET_READERS,
    Secret,
    below_home,
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
    from collections.abc import Callable


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


# Nobody compares settings, and to write these two methods for so many fields takes 2 ms of each command.
@dataclass(frozen=True, slots=True, eq=False, repr=False)
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
    package_dirs: tuple[str, ...] = _setting(
        (".",),
        "directories of a repository below which `farm bump` finds its packages",
        read_words,
        repository=True,
    )
    bump_files: tuple[str, ...] = _setting(
        (),
        "patterns of further files that `farm bump` rewrites: of names (Makefile) or paths (docs/*.md)",
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
    forge_token: Secret | None = _setting(
        None,
        "token with which `farm watch` reads pull requests and writes commit statuses",
        read_secret,
    )
    webhook_secret: Secret | None = _setting(
        None, "secret that webhooks to `farm watch` are signed with", read_secret
    )
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


def shown_value(name: str, value: Any) -> Any:
    """The value of a setting without what must not be shown: secrets, logins, values of build arguments."""
    show = FIELDS[name].metadata["show"]
    return show(value) if show and value is not None else value
