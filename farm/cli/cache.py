"""farm cache: look into the LinuxKit cache, and move images in and out of it."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING

import click

from farm.cli.options import json_option, print_json, with_settings
from farm.errors import CacheError, InputError
from farm.syntax.sizes import format_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from farm.settings import Settings

_FORMATS = ("oci", "docker", "filesystem")


@click.group("cache")
def command() -> None:
    """Look into the LinuxKit cache, and move images in and out of it.

    It is the directory that `linuxkit` itself reads and writes: ~/.linuxkit/cache, --cache or LINUXKIT_CACHE.
    """


@command.command("ls")
@with_settings("cache")
@json_option
def ls(settings: Settings, as_json: bool) -> None:
    """List the names in the cache, each with the digest of what it stands for."""
    from farm.cache.layout import Cache  # noqa: PLC0415 - JSON and files, imported when used

    names = Cache(settings.cache).names()
    if as_json:
        print_json([{"name": name, **one.to_json()} for name, one in sorted(names.items())])
        return
    width = max(map(len, names), default=0)
    for name, one in sorted(names.items()):
        click.echo(f"{name:<{width}}  {one.digest}")


@command.command("export")
@click.argument("name")
@with_settings("cache")
@click.option("--outfile", required=True, metavar="FILE", help="Where to write; - for standard output.")
@click.option(
    "--format",
    "form",
    type=click.Choice(_FORMATS),
    default="oci",
    show_default=True,
    help="An OCI archive that docker load takes too, or the files of the image as a tar.",
)
@click.option(
    "--arch", metavar="ARCH", help="Architecture out of an index, or `all`; by default this machine's."
)
@click.option("--name", "called", metavar="NAME", help="What the image is called in the archive.")
def export(
    settings: Settings, name: str, outfile: str, form: str, arch: str | None, called: str | None
) -> None:
    """Write an image of the cache to a file."""
    from farm.cache.archive_export import archive, root_for  # noqa: PLC0415 - as above
    from farm.cache.filesystem import flatten  # noqa: PLC0415
    from farm.cache.layout import Cache  # noqa: PLC0415
    from farm.model import Reference  # noqa: PLC0415

    cache, reference = Cache(settings.cache), Reference.parse(name).or_latest()
    root = root_for(cache, reference, arch)
    with _writing(outfile) as file:
        if form == "filesystem":
            flatten(cache.blobs, root, file)
            return
        names = [Reference.parse(called).or_latest() if called else reference]
        for piece in archive(cache.blobs, root, names):
            file.write(piece)


@command.command("import")
@click.argument("file")
@with_settings("cache")
@click.option("--name", "called", metavar="NAME", help="Name of the image, instead of the archive's.")
@json_option
def import_(settings: Settings, file: str, called: str | None, as_json: bool) -> None:
    """Take in the images of an archive FILE (- for standard input), as `docker save` or skopeo write it."""
    from farm.cache.archive_import import load, names_for  # noqa: PLC0415 - as above
    from farm.cache.layout import Cache  # noqa: PLC0415
    from farm.model import Reference  # noqa: PLC0415

    cache = Cache(settings.cache)
    with _reading(file) as stream:
        loaded = load(cache.blobs, stream)
    names = names_for(loaded, Reference.parse(called).or_latest() if called else None)
    cache.change(lambda _: dict(names))
    if as_json:
        print_json([{"name": name, **root.to_json()} for name, root in names.items()])
        return
    for name, root in names.items():
        click.echo(f"{name}  {root.digest}")


@command.command("pull")
@click.argument("name")
@with_settings("cache", "mirrors")
def pull(settings: Settings, name: str) -> None:
    """Bring an image or a whole index from its registry into the cache."""
    from farm.cache.layout import Cache  # noqa: PLC0415 - as above
    from farm.cache.transfer import pull_all  # noqa: PLC0415
    from farm.model import Reference  # noqa: PLC0415
    from farm.registry.connect import open_registry  # noqa: PLC0415

    reference = Reference.parse(name).or_latest()
    with open_registry(settings, mirrored=True) as registry:
        root = pull_all(Cache(settings.cache), registry, reference)
    click.echo(f"{reference}  {root.digest}")


@command.command("push")
@click.argument("name")
@with_settings("cache")
def push(settings: Settings, name: str) -> None:
    """Push an image of the cache: each architecture's, then the index. `farm push` signs, this does not."""
    from farm.cache.layout import Cache  # noqa: PLC0415 - as above
    from farm.cache.transfer import push_all  # noqa: PLC0415
    from farm.model import Reference  # noqa: PLC0415
    from farm.registry.connect import open_registry  # noqa: PLC0415

    reference = Reference.parse(name).or_latest()
    with open_registry(settings) as registry:
        moved = push_all(Cache(settings.cache), registry, reference)
    blobs = ", ".join(f"{count} {how}" for how, count in sorted(moved.blobs.items()))
    click.echo(f"{reference}  {moved.root.digest}  (blobs: {blobs})")


@command.command("rm")
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@with_settings("cache")
def rm(settings: Settings, names: tuple[str, ...]) -> None:
    """Take names out of the cache; `prune` then frees what nothing else needs."""
    from farm.cache.layout import Cache  # noqa: PLC0415
    from farm.cache.maintenance import remove  # noqa: PLC0415 - as above
    from farm.model import Reference  # noqa: PLC0415

    gone = remove(Cache(settings.cache), [Reference.parse(name) for name in names])
    if not gone:
        raise CacheError(f"none of these is in the cache: {', '.join(names)}", hint="farm cache ls")
    for name in gone:
        click.echo(f"{name}  removed")


@command.command("prune")
@with_settings("cache")
@click.option(
    "--grace",
    default=3600.0,
    show_default=True,
    metavar="SECONDS",
    help="Leave alone what is younger: somebody may be about to name it.",
)
@json_option
def prune(settings: Settings, grace: float, as_json: bool) -> None:
    """Free what no name needs, and what killed writers left."""
    from farm.cache.layout import Cache  # noqa: PLC0415
    from farm.cache.maintenance import prune as tidy  # noqa: PLC0415 - as above

    pruned = tidy(Cache(settings.cache), grace=grace)
    if as_json:
        print_json({"files": pruned.files, "bytes": pruned.size})
        return
    click.echo(f"{pruned.files} files removed, {format_bytes(pruned.size)} freed")


@command.command("verify")
@with_settings("cache")
@json_option
def verify(settings: Settings, as_json: bool) -> int:
    """Read every byte of the cache, and say what is damaged or missing. Exits with 1 if anything is."""
    from farm.cache.layout import Cache  # noqa: PLC0415
    from farm.cache.maintenance import verify as check  # noqa: PLC0415 - as above

    cache = Cache(settings.cache)
    problems, count = check(cache), len(cache.names())
    if as_json:
        print_json([problem.to_json() for problem in problems])
        return 1 if problems else 0
    for problem in problems:
        click.echo(f"{problem.name or '(no name)'}  {problem.what}")
    if not problems:
        click.echo(f"{count} names, all sound")
    return 1 if problems else 0


@command.command("clean")
@with_settings("cache")
@click.option("--published-only", is_flag=True, help="Remove only what the registries hold just the same.")
def clean(settings: Settings, published_only: bool) -> None:
    """Empty the cache."""
    from farm.cache.layout import Cache  # noqa: PLC0415
    from farm.cache.maintenance import clean as empty  # noqa: PLC0415 - as above
    from farm.cache.maintenance import prune as tidy  # noqa: PLC0415
    from farm.cache.maintenance import remove  # noqa: PLC0415
    from farm.cache.transfer import published_names  # noqa: PLC0415
    from farm.registry.connect import open_registry  # noqa: PLC0415

    cache = Cache(settings.cache)
    if published_only:
        with open_registry(settings) as registry:
            gone = remove(cache, published_names(cache, registry))
        pruned = tidy(cache)
        click.echo(f"{len(gone)} names removed, {format_bytes(pruned.size)} freed")
        return
    pruned = empty(cache)
    click.echo(f"{settings.cache}: emptied, {format_bytes(pruned.size)} freed")


@contextmanager
def _writing(name: str) -> Iterator[IO[bytes]]:
    if name == "-":
        yield sys.stdout.buffer
        return
    try:
        with Path(name).open("wb") as file:
            yield file
    except OSError as error:
        raise InputError(f"{name}: cannot be written: {error.strerror}") from error


@contextmanager
def _reading(name: str) -> Iterator[IO[bytes]]:
    if name == "-":
        yield sys.stdin.buffer
        return
    try:
        with Path(name).open("rb") as file:
            yield file
    except OSError as error:
        raise InputError(f"{name}: cannot be read: {error.strerror}") from error
