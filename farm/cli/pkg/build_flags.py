"""The flags of `pkg build` and `pkg push`: one set, since `push` is `build --push`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from farm.cli.pkg.common_flags import boolean_flag, directories_argument, value_flag

if TYPE_CHECKING:
    import click

_NO_EFFECT = "No effect: the BuildKit inside the engine builds."
_ALWAYS_CURRENT = "No effect: base images are always those of the registry."

BUILD_FLAGS: list[click.Parameter] = [
    directories_argument(),
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
    value_flag("builder-image", _NO_EFFECT, "IMAGE"),
    value_flag("builder-config", _NO_EFFECT, "FILE"),
    boolean_flag("builder-restart", _NO_EFFECT),
    boolean_flag("ignore-cached", _ALWAYS_CURRENT),
    boolean_flag("precache-images", _ALWAYS_CURRENT),
    value_flag("progress", "No effect: a terminal gets a live table, a pipe gets lines.", "KIND"),
    value_flag("sbom-scanner", 'SBOM generator, "" for BuildKit\'s own, or false; not with a push.', "IMAGE"),
    value_flag(
        "ssh", "What RUN --mount=type=ssh may use; not with a push.", "ID[=KEY-OR-SOCKET]", multiple=True
    ),
]
