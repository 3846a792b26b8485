"""The flags of `linuxkit pkg`: their declarations, and those of one command as one value."""

from __future__ import annotations

from dataclasses import dataclass, fields

import click

from farm.cli.pkg.root_flags import ROOT_FLAGS, RootFlags, boolean_flag, make_option, value_flag


@dataclass(frozen=True, slots=True)
class _CommonFlags(RootFlags):
    """The flags that every verb takes."""

    org: str | None = value_flag("Organisation; overrides build.yml. [LINUXKIT_PKG_ORG]", "ORG")
    hash: str | None = value_flag("Use this hash instead of the git tree hash.", "HASH")
    hash_commit: str = value_flag(
        "Take the tree hash at this commit. Default: HEAD.", "COMMIT", default="HEAD"
    )
    hash_path: str | None = value_flag(
        "Take the tree hash of this directory, which contains the package.", "DIR"
    )
    tag: str | None = value_flag("Template of the tag; {{.Hash}} is replaced by the hash.", "TEMPLATE")
    build_yml: str = value_flag("Name of the build.yml.", "FILE", default="build.yml")
    dev: bool | None = boolean_flag("Use organisation $USER and tag dev.")
    force_dirty: bool | None = boolean_flag("Tag the package as if it had uncommitted changes.")
    disable_cache: bool | None = boolean_flag("Ignore the layers of earlier builds; overrides build.yml.")
    enable_cache: bool | None = boolean_flag("Use the layers of earlier builds; overrides build.yml.")
    network: bool | None = boolean_flag("Run RUN steps with a network; overrides build.yml.")
    nonetwork: bool | None = boolean_flag("Run RUN steps without a network; overrides build.yml.")
    disable_content_trust: bool | None = boolean_flag("Do not sign.")
    enable_content_trust: bool | None = boolean_flag("Sign; overrides build.yml.")
    registry_creds: tuple[str, ...] = value_flag(
        "Login that overrides docker's. Visible to other users; better: [FARM_REGISTRY_CREDS_FILE]",
        "REGISTRY=USER:PASSWORD",
        multiple=True,
    )


@dataclass(frozen=True, slots=True)
class _BuildFlags(_CommonFlags):
    """The further flags of `build` and `push`, which is `build --push`."""

    force: bool | None = boolean_flag("Build even if the image exists.")
    nobuild: bool | None = boolean_flag("Build nothing; push the images in the LinuxKit cache.")
    pull: bool | None = boolean_flag(
        "Pull what the registry has; this is the default, --pull=false prevents it."
    )
    docker: bool | None = boolean_flag(
        "Also load the images into the engine; after a push, those it published."
    )
    dry_run: bool | None = boolean_flag("Print what would be done, and do nothing.")
    image: bool | None = boolean_flag("--image=false: build nothing; publish the index of existing images.")
    manifest: bool | None = boolean_flag("--manifest=false: push the images; publish no index.")
    sign: bool | None = boolean_flag("--sign=false: do not sign.")
    release: str | None = value_flag("Also publish under this tag. Default: the git tag on HEAD.", "TAG")
    platforms: str | None = value_flag("Build only these; overrides build.yml.", "linux/ARCH,...")
    skip_platforms: str | None = value_flag("Build all but these.", "linux/ARCH,...")
    dockerfile: str | None = value_flag("Name of the Dockerfile; overrides build.yml.", "FILE")
    build_arg_file: tuple[str, ...] = value_flag(
        "File of build arguments, NAME=VALUE lines; they override those of build.yml.", "FILE", multiple=True
    )
    builders: str | None = value_flag(
        "Where buildx builds a platform; a push leaves that to its workers. [LINUXKIT_BUILDERS]",
        "linux/ARCH=NAME,...",
    )
    builder_name: str | None = value_flag(metavar="NAME")
    builder_image: str | None = value_flag(metavar="IMAGE")
    builder_config: str | None = value_flag(metavar="FILE")
    builder_restart: bool | None = boolean_flag()
    ignore_cached: bool | None = boolean_flag("Do not build from the base images in the LinuxKit cache.")
    precache_images: bool | None = boolean_flag()
    progress: str | None = value_flag(metavar="KIND")
    sbom_scanner: str | None = value_flag(
        'SBOM generator, "" for BuildKit\'s own, or false; not with a push.', "IMAGE"
    )
    ssh: tuple[str, ...] = value_flag(
        "What RUN --mount=type=ssh may use; not with a push.", "ID[=KEY-OR-SOCKET]", multiple=True
    )


@dataclass(frozen=True, slots=True)
class PkgFlags(_BuildFlags):
    """The flags as they were given; one that the verb lacks has its default."""

    push: bool | None = boolean_flag("Push what is built: farm pkg push.")
    canonical: bool | None = boolean_flag("Include the registry's host, as in docker.io/linuxkit/foo:HASH.")

    def given(self, name: str) -> bool:
        """Whether a flag was given, with whatever value."""
        return bool(getattr(self, name) != self.__dataclass_fields__[name].default)

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
_FLAGS: list[click.Parameter] = [make_option(flag) for flag in fields(PkgFlags)]
_ROOT, _COMMON, _BUILD = len(ROOT_FLAGS), len(fields(_CommonFlags)), len(fields(_BuildFlags))
COMMON_FLAGS, BUILD_FLAGS = [*_FLAGS[_ROOT:_COMMON], *ROOT_FLAGS], _FLAGS[_COMMON:_BUILD]
PUSH_FLAG, CANONICAL_FLAG = _FLAGS[_BUILD:]
BUILDER_FLAGS = [
    flag for flag in BUILD_FLAGS if str(flag.name).startswith("builder") and flag.name != "builder_restart"
]
