"""farm build: build packages on this machine into the LinuxKit cache, without a broker."""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING

import click

from farm.cli.options import json_option, package_options, with_settings
from farm.cli.output import print_error, print_json, print_warnings, say
from farm.errors import InputError, RunFailedError
from farm.model import refuse_unknown_arches

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from farm.errors import FarmError
    from farm.local_build.options import BuildOptions, LocalImage
    from farm.model import Package
    from farm.package.dockerfile import BaseImage
    from farm.package.tags import TagOptions
    from farm.settings import Settings


@click.command("build")
@click.argument("directories", nargs=-1, required=True, metavar="DIR...")
@with_settings("org", "include_ignored", "arches", "engine", "build_args", "cache", "mirrors")
@package_options
@click.option(
    "--platforms",
    metavar="PLATFORM,...",
    help="Architectures, such as linux/arm64,linux/s390x. Default: this machine's.",
)
@click.option(
    "--skip-platforms", metavar="PLATFORM,...", help="Build all of each package's architectures but these."
)
@click.option("--force", is_flag=True, help="Build even if the image is in the cache or the registry.")
@click.option("--pull/--no-pull", default=True, help="Pull from the registry what the cache lacks.")
@click.option("--ignore-cached", is_flag=True, help="Do not build from the base images in the cache.")
@click.option("--docker", is_flag=True, help="Also load the images into the engine: NAME:TAG-ARCH, NAME:TAG.")
@json_option
def command(
    settings: Settings,
    directories: tuple[str, ...],
    tags: TagOptions,
    platforms: str | None,
    skip_platforms: str | None,
    force: bool,
    pull: bool,
    ignore_cached: bool,
    docker: bool,
    as_json: bool,
) -> int:
    """Build the packages in these directories into the LinuxKit cache. Pushes nothing.

    Uses what is in the cache, pulls what is in the registry, and builds the rest with the local Docker
    Engine. Uncommitted changes are allowed, and show in the tag. Needs no broker.

    \b
    farm build pkg/foo
    farm build --all pkg/ --platforms linux/amd64,linux/arm64
    farm build --docker pkg/foo && docker run --rm $(farm show-tag pkg/foo)
    """
    from farm.local_build.options import BuildOptions, native_arch

    arches, skipped = select_arches(platforms, skip_platforms, native_arch())
    options = BuildOptions(
        arches, skip=skipped, force=force, pull=pull, cached_bases=not ignore_cached, docker=docker
    )
    return build_locally(settings, directories, tags, options, as_json=as_json)


def build_locally(
    settings: Settings,
    directories: Sequence[str],
    tags: TagOptions,
    options: BuildOptions,
    *,
    as_json: bool = False,
) -> int:
    """Build packages into the LinuxKit cache, and print the progress; returns the exit code."""
    from farm.cache.layout import Cache
    from farm.local_build.local_builder import LocalBuilder
    from farm.registry.client import open_registry

    started = time.monotonic()
    packages, dependencies, bases = _read_in_order(settings, directories, tags, options)
    with (
        open_registry(settings, mirrored=True) as registry,
        LocalBuilder(
            settings,
            Cache(settings.cache),
            registry,
            report=lambda line: say(line, err=as_json),
            log=lambda line: say(line, err=True),
        ) as builder,
    ):
        images = list(builder.build_all(packages, dependencies, bases, options))
    if as_json:
        print_json([image.to_json() for image in images])
    elif len(images) > 1:
        say(summary(images, time.monotonic() - started))
    failure = _failure(images)
    if failure:
        # Not raised, since the JSON holds the errors already.
        print_error(failure)
    return failure.exit_code if failure else 0


def _read_in_order(
    settings: Settings, directories: Sequence[str], tags: TagOptions, options: BuildOptions
) -> tuple[list[Package], Mapping[str, Sequence[str]], Mapping[str, Sequence[BaseImage]]]:
    """The packages, each after its dependencies, and of each the dependencies and base images; warns."""
    from farm.graph.order import in_order
    from farm.package.check_files import warn_of_ignore_files
    from farm.package.dockerfile import base_images, dockerfiles, needs
    from farm.package.read_packages import read_packages, resolve_build_args
    from farm.planning.prepare_plan import check_build_yml

    packages = resolve_build_args(read_packages(directories, tags), tags.build_yml)
    check_build_yml(packages, tags)
    texts = dockerfiles(packages)
    bases = base_images(packages, dict(settings.build_args), texts)
    dependencies, warnings = needs(packages, bases)
    skipped = options.skipped(packages, settings.arches)
    print_warnings((*warnings, *warn_of_ignore_files(packages), *skipped))
    by_name = {package.image: package for package in packages}
    return [by_name[name] for name in in_order(by_name, dependencies)], dependencies, bases


def select_arches(
    platforms: str | None, skipped: str | None, native: str
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The architectures to build and those to skip, from the flags; linux/ may be omitted."""
    if platforms and skipped:
        raise InputError("--platforms and --skip-platforms exclude each other", hint="give one of them")
    words = (platforms or skipped or native).split(",")
    arches = tuple(dict.fromkeys(word.strip().removeprefix("linux/") for word in words))
    refuse_unknown_arches(arches)
    return ((), arches) if skipped else (arches, ())


def summary(images: Sequence[LocalImage], seconds: float) -> str:
    """One line about all packages."""
    origins = Counter(str(origin) for image in images for _, origin in image.images)
    failed = sum(1 for image in images if image.error)
    counts = [f"{count} {origin}" for origin, count in sorted(origins.items())]
    parts = [*counts, *([f"{failed} failed"] if failed else [])]
    return f"{len(images)} packages: {', '.join(parts) or 'nothing to do'}, {seconds:.1f} s"


def _failure(images: Sequence[LocalImage]) -> FarmError | None:
    """One error for all packages that failed; None where none did."""
    errors = [image.error for image in images if image.error]
    if len(errors) == len(images) == 1:
        return errors[0]
    failed = ", ".join(image.package.image for image in images if image.error)
    return RunFailedError(f"{len(errors)} of {len(images)} packages failed: {failed}") if errors else None
