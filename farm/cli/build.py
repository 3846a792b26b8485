"""farm build: make packages on this machine, without a broker, and keep them in the LinuxKit cache."""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING

import click

from farm.cli.error_output import tell
from farm.cli.options import json_option, package_options, print_json, with_settings
from farm.errors import InputError, RunFailedError
from farm.model import ARCHES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from farm.errors import FarmError
    from farm.local_build.options import BuildOptions, LocalImage
    from farm.package.tag_options import TagOptions
    from farm.settings import Settings


@click.command("build")
@click.argument("directories", nargs=-1, required=True, metavar="DIR...")
@with_settings("org", "arches", "engine", "build_args", "cache", "mirrors")
@package_options
@click.option(
    "--platforms",
    metavar="PLATFORM,...",
    help="Architectures, such as linux/arm64,linux/s390x; by default this machine's.",
)
@click.option(
    "--skip-platforms", metavar="PLATFORM,...", help="All of each package's architectures but these."
)
@click.option("--force", is_flag=True, help="Build although the image is in the cache or the registry.")
@click.option("--pull/--no-pull", default=True, help="Look in the registry for what the cache lacks.")
@click.option("--docker", is_flag=True, help="Load it into the engine too: NAME:TAG-ARCH and NAME:TAG.")
@json_option
def command(
    settings: Settings,
    directories: tuple[str, ...],
    tags: TagOptions,
    platforms: str | None,
    skip_platforms: str | None,
    force: bool,
    pull: bool,
    docker: bool,
    as_json: bool,
) -> int:
    """Make the packages in these directories available in the LinuxKit cache. Nothing is pushed.

    What the cache has is taken as it is, what the registry has is pulled, the rest is built by the local
    Docker Engine. Uncommitted changes may be built: the tag says so. Needs no broker.

    \b
    farm build pkg/foo
    farm build --all pkg/ --platforms linux/amd64,linux/arm64
    farm build --docker pkg/foo && docker run --rm $(farm show-tag pkg/foo)
    """
    from farm.local_build.options import BuildOptions, native_arch  # noqa: PLC0415 - the registry client is imported when used

    arches, skipped = chosen(platforms, skip_platforms, native_arch())
    wish = BuildOptions(arches, skip=skipped, force=force, pull=pull, docker=docker)
    return make(settings, directories, tags, wish, as_json=as_json)


def make(
    settings: Settings,
    directories: Sequence[str],
    tags: TagOptions,
    wish: BuildOptions,
    *,
    as_json: bool = False,
) -> int:
    """Make packages available in the LinuxKit cache, saying how it goes; returns the exit code."""
    from farm.cache.layout import Cache  # noqa: PLC0415 - the registry client is imported when it is used
    from farm.local_build.local_builder import LocalBuilder  # noqa: PLC0415
    from farm.package.dockerfile import needs, stale_needs  # noqa: PLC0415
    from farm.package.read_packages import read_packages  # noqa: PLC0415
    from farm.planning.dependency_order import in_order  # noqa: PLC0415
    from farm.planning.prepare import refuse_other_build_yml  # noqa: PLC0415
    from farm.registry.connect import open_registry  # noqa: PLC0415

    begun = time.monotonic()
    packages = read_packages(directories, tags)
    refuse_other_build_yml(packages, tags)
    arguments = dict(settings.build_args)
    wanted = needs(packages, arguments)
    for warning in (*stale_needs(packages, arguments), *wish.skipped(packages, settings.arches)):
        click.echo(f"warning: {warning}", err=True)
    by_name = {package.image: package for package in packages}
    ordered = [by_name[name] for name in in_order(by_name, wanted)]
    with (
        open_registry(settings, mirrored=True) as registry,
        LocalBuilder(
            settings,
            Cache(settings.cache),
            registry,
            report=lambda line: click.echo(line, err=as_json),
            log=lambda line: click.echo(line, err=True),
        ) as workshop,
    ):
        made = list(workshop.build_all(ordered, wanted, wish))
    failure = _failure(made)
    if as_json:
        print_json([one.to_json() for one in made])
    elif len(made) > 1:
        click.echo(summary(made, time.monotonic() - begun))
    if failure:
        # What is printed holds the errors; raised, it would be printed once more.
        tell(failure)
    return failure.exit_code if failure else 0


def chosen(platforms: str | None, skipped: str | None, own: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The architectures that the flags ask for, and those to skip; linux/ before one may be left out.

    Raises:
        InputError: both flags, or what is no architecture.
    """
    if platforms and skipped:
        raise InputError("--platforms and --skip-platforms exclude each other", hint="give one of them")
    words = (platforms or skipped or own).split(",")
    named = tuple(dict.fromkeys(word.strip().removeprefix("linux/") for word in words))
    for arch in named:
        if arch not in ARCHES:
            raise InputError(f"{arch!r} is no architecture", hint=f"one of {', '.join(ARCHES)}")
    return ((), named) if skipped else (named, ())


def summary(made: Sequence[LocalImage], seconds: float) -> str:
    """One line on all packages."""
    origins = Counter(str(origin) for one in made for _, origin in one.images)
    failed = sum(1 for one in made if one.error)
    counts = [f"{count} {what}" for what, count in sorted(origins.items())]
    parts = [*counts, *([f"{failed} failed"] if failed else [])]
    return f"{len(made)} packages: {', '.join(parts) or 'nothing to do'}, {seconds:.1f} s"


def _failure(made: Sequence[LocalImage]) -> FarmError | None:
    """What went wrong, in one sentence; None where nothing did."""
    errors = [one.error for one in made if one.error]
    if len(errors) == len(made) == 1:
        return errors[0]
    failed = ", ".join(one.package.image for one in made if one.error)
    return RunFailedError(f"{len(errors)} of {len(made)} packages failed: {failed}") if errors else None
