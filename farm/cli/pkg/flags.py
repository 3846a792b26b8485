"""The flags of `linuxkit pkg`: their declarations, and those of one command as one value."""

from __future__ import annotations

from dataclasses import Field, dataclass, field, fields
from typing import Any

import click

from farm.cli.pkg.flag_spelling import LEVEL

_ENGINE_BUILDS = "the BuildKit inside the engine builds"
_ALWAYS_CURRENT = "base images are always those of the registry"
NO_EFFECT = {
    "quiet": "the farm prints only a line for each step",
    "verbose": "`farm logs` prints the whole output of a build",
    "builder_image": _ENGINE_BUILDS,
    "builder_config": f"{_ENGINE_BUILDS}, with the configuration of dockerd",
    "builder_restart": f"{_ENGINE_BUILDS}, and needs no restart",
    "ignore_cached": _ALWAYS_CURRENT,
    "precache_images": _ALWAYS_CURRENT,
    "progress": "a terminal gets a live table, a pipe gets lines",
}
"""The flags that have no effect on a farm, each with the reason."""
_SHORT = {"quiet": "-q", "verbose": "-v"}


def flag_name(name: str) -> str:
    """A flag as users write it: --skip-platforms for skip_platforms."""
    return f"--{name.replace('_', '-')}"


def _value(about: str | None = None, metavar: str = "VALUE", **more: Any) -> Any:
    """A flag with a value; without `about`, one that has no effect."""
    default = () if "multiple" in more else more.get("default")
    return field(default=default, metadata={"help": about, "metavar": metavar, **more})


def _boolean(about: str | None = None) -> Any:
    """A boolean flag, which may be given a value: --name, --name=false; as `_value` without `about`."""
    return _value(about, "[=false]", type=click.BOOL)


def _option(flag: Field[Any]) -> click.Option:
    names = [flag_name(flag.name), *filter(None, [_SHORT.get(flag.name)])]
    about = flag.metadata["help"] or f"No effect: {NO_EFFECT[flag.name]}."
    return click.Option(names, **{**flag.metadata, "help": about})


@dataclass(frozen=True, slots=True)
class _CommonFlags:
    """The flags that every verb takes."""

    org: str | None = _value("Organisation; overrides build.yml. [LINUXKIT_PKG_ORG]", "ORG")
    hash: str | None = _value("Use this hash instead of the git tree hash.", "HASH")
    hash_commit: str = _value("Take the tree hash at this commit. Default: HEAD.", "COMMIT", default="HEAD")
    hash_path: str | None = _value("Take the tree hash of this directory, which contains the package.", "DIR")
    tag: str | None = _value("Template of the tag; {{.Hash}} is replaced by the hash.", "TEMPLATE")
    build_yml: str = _value("Name of the build.yml.", "FILE", default="build.yml")
    dev: bool | None = _boolean("Use organisation $USER and tag dev.")
    force_dirty: bool | None = _boolean("Tag the package as if it had uncommitted changes.")
    disable_cache: bool | None = _boolean("Ignore the layers of earlier builds; overrides build.yml.")
    enable_cache: bool | None = _boolean("Use the layers of earlier builds; overrides build.yml.")
    network: bool | None = _boolean("Run RUN steps with a network; overrides build.yml.")
    nonetwork: bool | None = _boolean("Run RUN steps without a network; overrides build.yml.")
    disable_content_trust: bool | None = _boolean("Do not sign.")
    enable_content_trust: bool | None = _boolean("Sign; overrides build.yml.")
    cache: str | None = _value("Directory of the LinuxKit cache. [LINUXKIT_CACHE]", "DIR")
    mirror: tuple[str, ...] = _value(
        "Mirror to read from instead of REGISTRY, or of every registry; repeatable. [LINUXKIT_MIRROR]",
        "[REGISTRY=]URL",
        multiple=True,
    )
    cert_file: tuple[str, ...] = _value(
        "CA certificate to trust for every registry; repeatable.", "FILE", multiple=True
    )
    registry_creds: tuple[str, ...] = _value(
        "Login that overrides docker's. Visible to other users; better: [FARM_REGISTRY_CREDS_FILE]",
        "REGISTRY=USER:PASSWORD",
        multiple=True,
    )
    hash_dir: str | None = _value("Refused: the farm keeps no hash files.", "DIR")
    strict_deps: bool | None = _boolean("Refused: the farm keeps no hash files.")
    quiet: bool | None = _boolean()
    verbose: str | None = _value(metavar="[N]", type=LEVEL)


@dataclass(frozen=True, slots=True)
class _BuildFlags(_CommonFlags):
    """The further flags of `build` and `push`, which is `build --push`."""

    force: bool | None = _boolean("Build even if the image exists.")
    nobuild: bool | None = _boolean("Build nothing; push the images in the LinuxKit cache.")
    pull: bool | None = _boolean("Pull what the registry has; this is the default, --pull=false prevents it.")
    docker: bool | None = _boolean("Also load the built images into the engine; not with --push.")
    dry_run: bool | None = _boolean("Print what would be done, and do nothing.")
    dry: bool | None = _boolean("Same as --dry-run.")
    image: bool | None = _boolean("--image=false: build nothing; publish the index of existing images.")
    manifest: bool | None = _boolean("--manifest=false: push the images; publish no index.")
    sign: bool | None = _boolean("--sign=false: do not sign.")
    release: str | None = _value("Also publish under this tag. Default: the git tag on HEAD.", "TAG")
    platforms: str | None = _value("Build only these; overrides build.yml.", "linux/ARCH,...")
    skip_platforms: str | None = _value("Build all but these.", "linux/ARCH,...")
    dockerfile: str | None = _value("Name of the Dockerfile; overrides build.yml.", "FILE")
    build_arg_file: tuple[str, ...] = _value(
        "File of build arguments, NAME=VALUE lines; they override those of build.yml.", "FILE", multiple=True
    )
    builders: str | None = _value(
        "Where buildx builds a platform; a push leaves that to its workers. [LINUXKIT_BUILDERS]",
        "linux/ARCH=NAME,...",
    )
    builder_image: str | None = _value(metavar="IMAGE")
    builder_config: str | None = _value(metavar="FILE")
    builder_restart: bool | None = _boolean()
    ignore_cached: bool | None = _boolean()
    precache_images: bool | None = _boolean()
    progress: str | None = _value(metavar="KIND")
    sbom_scanner: str | None = _value(
        'SBOM generator, "" for BuildKit\'s own, or false; not with a push.', "IMAGE"
    )
    ssh: tuple[str, ...] = _value(
        "What RUN --mount=type=ssh may use; not with a push.", "ID[=KEY-OR-SOCKET]", multiple=True
    )


@dataclass(frozen=True, slots=True)
class PkgFlags(_BuildFlags):
    """The flags as they were given; one that the verb lacks has its default."""

    push: bool | None = _boolean("Push what is built: farm pkg push.")
    canonical: bool | None = _boolean("Include the registry's host, as in docker.io/linuxkit/foo:HASH.")

    def given(self, name: str) -> bool:
        """Whether a flag was given, with whatever value."""
        return bool(getattr(self, name) != self.__dataclass_fields__[name].default)

    @property
    def is_dry_run(self) -> bool:
        """Whether nothing is to be changed."""
        return bool(self.dry_run or self.dry)

    def either(self, name: str, opposite: str) -> bool | None:
        """The value of a flag, else the contrary of its opposite; None where neither is given."""
        contrary = getattr(self, opposite)
        value: bool | None = getattr(self, name)
        return not contrary if value is None and contrary is not None else value

    @property
    def without_trust(self) -> bool | None:
        """Whether nothing is signed; None where build.yml and the settings decide."""
        return self.either("disable_content_trust", "enable_content_trust")


DIRECTORIES = click.Argument(["directories"], nargs=-1, required=True, metavar="DIR...")
_FLAGS: list[click.Parameter] = [_option(flag) for flag in fields(PkgFlags)]
_COMMON, _BUILD = len(fields(_CommonFlags)), len(fields(_BuildFlags))
COMMON_FLAGS, BUILD_FLAGS = _FLAGS[:_COMMON], _FLAGS[_COMMON:_BUILD]
PUSH_FLAG, CANONICAL_FLAG = _FLAGS[_BUILD:]
ROOT_FLAGS = [
    flag for flag in COMMON_FLAGS if flag.name in ("cache", "mirror", "cert_file", "quiet", "verbose")
]
"""Those that `linuxkit` also takes before `pkg`."""
