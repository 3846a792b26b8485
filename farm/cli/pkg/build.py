"""farm pkg build."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from farm.cli.build import make
from farm.cli.pkg.build_flags import MAKING, arches, is_off, take_builders, take_notes
from farm.cli.pkg.flags import note, switch, verb
from farm.cli.pkg.push import push
from farm.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from farm.cli.pkg.flags import Asked
    from farm.local_build.options import BuildOptions


@verb("build", *MAKING, switch("push", "Push what was built: farm pkg push."))
def command(asked: Asked, directories: tuple[str, ...], **own: Any) -> int:
    """Make packages available in the LinuxKit cache: from there, else the registry, else built: farm build.

    By default for this machine's architecture; where the setting `emulate` is on, for all of the package's.
    With --skip-platforms for all of the package's but these.

    \b
    farm pkg build -org=wombat -disable-content-trust pkg/foo
    farm pkg build -org=wombat -hash=foo push            as the document of 2021 has it
    """
    take_notes(own)
    pushed = own.pop("push")
    if "push" in directories and not Path("push").is_dir():
        # The document of 2021 says so, and names no package: it is the directory that one is in.
        directories = tuple(word for word in directories if word != "push") or (".",)
        note(f"read as: farm pkg push {' '.join(directories)}")
        pushed = True
    if pushed:
        return push(asked, directories, own)
    return _build(asked, directories, own)


def _build(asked: Asked, directories: Sequence[str], own: dict[str, Any]) -> int:
    settings = take_builders(own, asked.settings)
    if asked.tags.disable_content_trust is False:
        note("--enable-content-trust: what is made for this machine alone is not signed")
    for name in ("release", "nobuild"):
        if own[name]:
            raise InputError(f"--{name}: is for what is pushed", hint="farm pkg push")
    for name in ("image", "manifest", "sign"):
        if own[name] is not None:
            note(f"--{name}: is for what is pushed")
    wish = _wish(asked, own)
    if own["dry_run"] or own["dry"]:
        return _say(asked, directories, wish)
    return make(settings, directories, asked.tags, wish)


def _wish(asked: Asked, own: dict[str, Any]) -> BuildOptions:
    from farm.local_build.options import BuildOptions, native_arch  # noqa: PLC0415 - the registry client is imported when used

    named, skipped = arches(own["platforms"]), arches(own["skip_platforms"])
    all_of_each = asked.settings.emulate or skipped
    return BuildOptions(
        () if all_of_each else (native_arch(),),
        platforms=named,
        skip=skipped,
        force=bool(own["force"]),
        pull=not is_off(own, "pull"),
        docker=bool(own["docker"]),
    )


def _say(asked: Asked, directories: Sequence[str], wish: BuildOptions) -> int:
    """Say where each image would come from."""
    from farm.cache.layout import Cache  # noqa: PLC0415
    from farm.cache.named_images import find_image  # noqa: PLC0415 - the registry client is imported when used
    from farm.package.read_packages import read_packages  # noqa: PLC0415

    cache, usual = Cache(asked.settings.cache), asked.settings.arches
    packages = read_packages(directories, asked.tags)
    for warning in wish.skipped(packages, usual):
        click.echo(f"warning: {warning}", err=True)
    for package in packages:
        for line in wish.unlisted(package, usual):
            click.echo(line)
        for arch in wish.arches_of(package, usual):
            here = not wish.force and find_image(cache, package.reference, arch)
            what = "in the cache" if here else "pull it or build it" if wish.pull else "build it"
            click.echo(f"{package.reference.familiar} {arch}: {what}")
    return 0
