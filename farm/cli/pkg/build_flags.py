"""The flags of `pkg build` and `pkg push`: one set, since `push` is `build --push`."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from farm.cli.pkg.flags import note, refuse_both, switch, text
from farm.errors import InputError
from farm.model import ARCHES
from farm.settings import environment
from farm.syntax.setting_types import read_platforms, read_sbom

if TYPE_CHECKING:
    from collections.abc import Mapping

    from farm.settings import Settings

BUILDERS_VARIABLE = "LINUXKIT_BUILDERS"

MAKING: list[click.Parameter] = [
    click.Argument(["directories"], nargs=-1, required=True, metavar="DIR..."),
    switch("force", "Build although the image stands."),
    switch("nobuild", "Build nothing; push what the LinuxKit cache has."),
    switch("pull", "Pull what the registry has; so it is anyway, --pull=false keeps from it."),
    switch("docker", "Load what is built into the engine, too; without --push."),
    switch("dry-run", "Say what would be done, and do nothing."),
    switch("dry", "The same."),
    switch("image", "--image=false: build nothing, publish the index of images that stand."),
    switch("manifest", "--manifest=false: push the images, and make no index."),
    switch("sign", "--sign=false: do not sign."),
    text("release", "Release under this tag, too; by default under the git tag on HEAD.", "TAG"),
    text("platforms", "Just these, whatever build.yml says.", "linux/ARCH,..."),
    text("skip-platforms", "All but these.", "linux/ARCH,..."),
    text("dockerfile", "Name of the Dockerfile, whatever build.yml says.", "FILE"),
    text(
        "build-arg-file",
        "Build arguments, NAME=VALUE lines; they beat those of build.yml.",
        "FILE",
        multiple=True,
    ),
    text(
        "builders",
        "Where buildx builds a platform; a push leaves it to its workers. [LINUXKIT_BUILDERS]",
        "linux/ARCH=NAME,...",
    ),
    text("builder-image", "Accepted: the engine's own BuildKit builds.", "IMAGE"),
    text("builder-config", "Accepted: the engine's own BuildKit builds.", "FILE"),
    switch("builder-restart", "Accepted: the engine's own BuildKit builds."),
    switch("ignore-cached", "Accepted: base images are always what the registry has."),
    switch("precache-images", "Accepted: base images are always what the registry has."),
    text("progress", "Accepted: lines, or a live table on a terminal.", "KIND"),
    text("sbom-scanner", 'A generator of SBOMs, "" for BuildKit\'s own, or false; not for a push.', "IMAGE"),
    text("ssh", "What RUN --mount=type=ssh may use; not for a push.", "ID[=KEY-OR-SOCKET]", multiple=True),
]
_WORKERS_BUILDERS = "each worker builds as its own settings say, among them builders"
_NOTES = {
    "builder_image": "the BuildKit inside the engine builds",
    "builder_config": "the BuildKit inside the engine builds, as dockerd is configured",
    "builder_restart": "the BuildKit inside the engine builds, and needs no restart",
    "ignore_cached": "base images are always what the registry has",
    "precache_images": "base images are always what the registry has",
    "progress": "a terminal gets a live table, a pipe gets lines",
}


def take_notes(own: dict[str, Any]) -> None:
    """Take out of the flags of a verb those that mean nothing here, each with a note.

    Raises:
        InputError: two flags contradict each other.
    """
    for name, why in _NOTES.items():
        if own.pop(name):
            note(f"--{name.replace('_', '-')}: {why}")
    for one, other in (("force", "nobuild"), ("force", "pull"), ("platforms", "skip-platforms")):
        refuse_both(own, one, other)


def leave_to_workers(own: dict[str, Any]) -> None:
    """Take out of the flags of a push what its workers decide themselves, with a note.

    Raises:
        InputError: a flag would change what is built, and no worker can be told.
    """
    if own.pop("builders"):
        note(f"--builders: {_WORKERS_BUILDERS}")
    elif environment([BUILDERS_VARIABLE]).get(BUILDERS_VARIABLE):
        note(f"{BUILDERS_VARIABLE}: {_WORKERS_BUILDERS}")
    if own.pop("sbom_scanner") not in (None, "false"):
        raise InputError(
            "--sbom-scanner: what is attested is a worker's own affair", hint="its setting is sbom"
        )
    if own["pull"] is not None:
        note("--pull: nothing is pulled for a push; what the registry has is not built again")
    if own.pop("ssh"):
        raise InputError(
            "--ssh: which keys a build may use is a worker's own affair", hint="its setting is build-ssh"
        )


def take_builders(own: dict[str, Any], settings: Settings) -> Settings:
    """The settings with what the flags of a build say of the builder of this machine.

    Raises:
        InputError: a flag cannot be understood.
    """
    named = _builders(BUILDERS_VARIABLE, environment([BUILDERS_VARIABLE]).get(BUILDERS_VARIABLE))
    named |= dict(settings.builders) | _builders("--builders", own.pop("builders"))
    scanner, ssh = own.pop("sbom_scanner"), own.pop("ssh")
    return replace(
        settings,
        builders=tuple(named.items()),
        build_ssh=tuple(ssh) or settings.build_ssh,
        sbom=settings.sbom if scanner is None else read_sbom(scanner or "true"),
    )


def _builders(source: str, words: str | None) -> dict[str, str]:
    try:
        return dict(read_platforms(words or ""))
    except ValueError as error:
        raise InputError(f"{source}: {words!r} {error}") from error


def arches(words: str | None) -> tuple[str, ...]:
    """The architectures of linux/ARCH,...; none where the flag is not given.

    Raises:
        InputError: a word is not linux/ARCH.
    """
    named = []
    for word in (words or "").split(",") if words else ():
        system, _, arch = word.strip().partition("/")
        if system != "linux" or arch not in ARCHES:
            known = ", ".join(f"linux/{name}" for name in ARCHES)
            raise InputError(f"{word.strip()!r} is no platform", hint=f"one of {known}")
        named.append(arch)
    return tuple(dict.fromkeys(named))


def is_off(own: Mapping[str, Any], name: str) -> bool:
    """Whether a flag is given as --name=false."""
    return own[name] is False
