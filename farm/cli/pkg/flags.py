"""The flags of `linuxkit pkg`: their declarations, and those of one command as one value."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from farm.cli.pkg.flag_spelling import LEVEL

if TYPE_CHECKING:
    from collections.abc import Mapping

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


def flag_name(name: str) -> str:
    """A flag as users write it: --skip-platforms for skip_platforms."""
    return f"--{name.replace('_', '-')}"


def value_flag(name: str, about: str = "", metavar: str = "VALUE", **more: Any) -> click.Option:
    """A flag with a value; without `about`, one that has no effect."""
    return click.Option([flag_name(name)], help=about or _no_effect(name), metavar=metavar, **more)


def boolean_flag(name: str, about: str = "", *short: str) -> click.Option:
    """A boolean flag, which may be given a value: --name, --name=false."""
    names = [flag_name(name), *short]
    return click.Option(names, type=click.BOOL, help=about or _no_effect(name), metavar="[=false]")


def _no_effect(name: str) -> str:
    return f"No effect: {NO_EFFECT[name]}."


DIRECTORIES = click.Argument(["directories"], nargs=-1, required=True, metavar="DIR...")
COMMON_FLAGS: list[click.Parameter] = [
    value_flag("org", "Organisation; overrides build.yml. [LINUXKIT_PKG_ORG]", "ORG"),
    value_flag("hash", "Use this hash instead of the git tree hash.", "HASH"),
    value_flag("hash-commit", "Take the tree hash at this commit. Default: HEAD.", "COMMIT", default="HEAD"),
    value_flag("hash-path", "Take the tree hash of this directory, which contains the package.", "DIR"),
    value_flag("tag", "Template of the tag; {{.Hash}} is replaced by the hash.", "TEMPLATE"),
    value_flag("build-yml", "Name of the build.yml.", "FILE", default="build.yml"),
    boolean_flag("dev", "Use organisation $USER and tag dev."),
    boolean_flag("force-dirty", "Tag the package as if it had uncommitted changes."),
    boolean_flag("disable-cache", "Ignore the layers of earlier builds; overrides build.yml."),
    boolean_flag("enable-cache", "Use the layers of earlier builds; overrides build.yml."),
    boolean_flag("network", "Run RUN steps with a network; overrides build.yml."),
    boolean_flag("nonetwork", "Run RUN steps without a network; overrides build.yml."),
    boolean_flag("disable-content-trust", "Do not sign."),
    boolean_flag("enable-content-trust", "Sign; overrides build.yml."),
    value_flag("cache", "Directory of the LinuxKit cache. [LINUXKIT_CACHE]", "DIR"),
    value_flag(
        "mirror",
        "Mirror to read from instead of REGISTRY, or of every registry; repeatable. [LINUXKIT_MIRROR]",
        "[REGISTRY=]URL",
        multiple=True,
    ),
    value_flag("cert-file", "CA certificate to trust for every registry; repeatable.", "FILE", multiple=True),
    value_flag(
        "registry-creds",
        "Login that overrides docker's. Visible to other users; better: [FARM_REGISTRY_CREDS_FILE]",
        "REGISTRY=USER:PASSWORD",
        multiple=True,
    ),
    value_flag("hash-dir", "Refused: the farm keeps no hash files.", "DIR"),
    boolean_flag("strict-deps", "Refused: the farm keeps no hash files."),
    boolean_flag("quiet", "", "-q"),
    click.Option(["--verbose", "-v"], type=LEVEL, metavar="[N]", help=_no_effect("verbose")),
]
"""The flags that every verb takes."""
ROOT_FLAGS = [
    flag for flag in COMMON_FLAGS if flag.name in ("cache", "mirror", "cert_file", "quiet", "verbose")
]
"""Those that `linuxkit` also takes before `pkg`."""

BUILD_FLAGS: list[click.Parameter] = [
    boolean_flag("force", "Build even if the image exists."),
    boolean_flag("nobuild", "Build nothing; push the images in the LinuxKit cache."),
    boolean_flag("pull", "Pull what the registry has; this is the default, --pull=false prevents it."),
    boolean_flag("docker", "Also load the built images into the engine; not with --push."),
    boolean_flag("dry-run", "Print what would be done, and do nothing."),
    boolean_flag("dry", "Same as --dry-run."),
    boolean_flag("image", "--image=false: build nothing; publish the index of existing images."),
    boolean_flag("manifest", "--manifest=false: push the images; publish no index."),
    boolean_flag("sign", "--sign=false: do not sign."),
    value_flag("release", "Also publish under this tag. Default: the git tag on HEAD.", "TAG"),
    value_flag("platforms", "Build only these; overrides build.yml.", "linux/ARCH,..."),
    value_flag("skip-platforms", "Build all but these.", "linux/ARCH,..."),
    value_flag("dockerfile", "Name of the Dockerfile; overrides build.yml.", "FILE"),
    value_flag(
        "build-arg-file",
        "File of build arguments, NAME=VALUE lines; they override those of build.yml.",
        "FILE",
        multiple=True,
    ),
    value_flag(
        "builders",
        "Where buildx builds a platform; a push leaves that to its workers. [LINUXKIT_BUILDERS]",
        "linux/ARCH=NAME,...",
    ),
    value_flag("builder_image", metavar="IMAGE"),
    value_flag("builder_config", metavar="FILE"),
    boolean_flag("builder_restart"),
    boolean_flag("ignore_cached"),
    boolean_flag("precache_images"),
    value_flag("progress", metavar="KIND"),
    value_flag("sbom-scanner", 'SBOM generator, "" for BuildKit\'s own, or false; not with a push.', "IMAGE"),
    value_flag(
        "ssh", "What RUN --mount=type=ssh may use; not with a push.", "ID[=KEY-OR-SOCKET]", multiple=True
    ),
]
"""The further flags of `build` and `push`, which is `build --push`."""
PUSH_FLAG = boolean_flag("push", "Push what is built: farm pkg push.")
CANONICAL_FLAG = boolean_flag("canonical", "Include the registry's host, as in docker.io/linuxkit/foo:HASH.")

_DEFAULTS = {
    str(flag.name): flag.default if isinstance(flag.default, str) else () if flag.multiple else None
    for flag in (*COMMON_FLAGS, *BUILD_FLAGS, PUSH_FLAG, CANONICAL_FLAG)
    if isinstance(flag, click.Option)
}


@dataclass(frozen=True, slots=True)
class PkgFlags:
    """The flags as they were given, as attributes; one that the verb lacks has its default."""

    values: Mapping[str, Any]

    def __getattr__(self, name: str) -> Any:
        if name not in _DEFAULTS:
            raise AttributeError(name)
        return self.values.get(name, _DEFAULTS[name])

    def given(self, name: str) -> bool:
        """Whether a flag was given, with whatever value."""
        return bool(getattr(self, name) != _DEFAULTS[name])

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
