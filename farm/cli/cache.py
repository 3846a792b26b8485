"""farm cache: list, check and clean the LinuxKit cache, and move images in and out of it."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Literal

import click

from farm.cache.layout import Cache
from farm.cli.options import json_option, with_settings
from farm.cli.output import print_answer
from farm.errors import CacheError, InputError
from farm.model import Reference
from farm.syntax.quantities import format_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from farm.model import Descriptor
    from farm.settings import Settings

_FORMATS = ("oci", "docker", "filesystem")


@click.group("cache")
def command() -> None:
    """Manage the images in the LinuxKit cache.

    It is the directory that `linuxkit` itself reads and writes: ~/.linuxkit/cache, --cache or LINUXKIT_CACHE.
    """


@command.command("ls")
@with_settings("cache")
@json_option
def ls(settings: Settings, as_json: bool) -> None:
    """List the names in the cache, each with the digest that it refers to."""
    names = Cache(settings.cache).names()
    width = max(map(len, names), default=0)
    _print_names(dict(sorted(names.items())), width, as_json=as_json)


def _print_names(names: Mapping[str, Descriptor], width: int = 0, *, as_json: bool) -> None:
    rows = [{"name": name, **descriptor.to_json()} for name, descriptor in names.items()]
    lines = (f"{name:<{width}}  {descriptor.digest}" for name, descriptor in names.items())
    print_answer(rows, lines, as_json=as_json)


@command.command("export")
@click.argument("name")
@with_settings("cache")
@click.option("--outfile", required=True, metavar="FILE", help="File to write; - for standard output.")
@click.option(
    "--format",
    "form",
    type=click.Choice(_FORMATS),
    default="oci",
    show_default=True,
    help="An OCI archive, which docker load reads too, or a tar of the image's files.",
)
@click.option(
    "--arch", metavar="ARCH", help="Architecture to export from an index, or `all`. Default: this machine's."
)
@click.option("--name", "new_name", metavar="NAME", help="Name of the image in the archive.")
def export(
    settings: Settings, name: str, outfile: str, form: str, arch: str | None, new_name: str | None
) -> None:
    """Write an image of the cache to a file."""
    from farm.cache.archive_export import archive, root_for
    from farm.cache.filesystem import flatten

    cache, reference = Cache(settings.cache), Reference.parse(name).or_latest()
    root = root_for(cache, reference, arch)
    with _open(outfile, "wb") as file:
        if form == "filesystem":
            flatten(cache.blobs, root, file)
            return
        names = [Reference.parse(new_name).or_latest() if new_name else reference]
        for piece in archive(cache.blobs, root, names):
            file.write(piece)


@command.command("import")
@click.argument("file")
@with_settings("cache")
@click.option("--name", "new_name", metavar="NAME", help="Name of the image; overrides the archive's.")
@json_option
def import_(settings: Settings, file: str, new_name: str | None, as_json: bool) -> None:
    """Import the images of an archive FILE (- for standard input), as `docker save` or skopeo write it."""
    from farm.cache.archive_import import load, names_for

    cache = Cache(settings.cache)
    with _open(file, "rb") as stream:
        loaded = load(cache.blobs, stream)
    names = names_for(loaded, Reference.parse(new_name).or_latest() if new_name else None)
    cache.change(lambda _: dict(names))
    _print_names(names, as_json=as_json)


@command.command("pull")
@click.argument("name")
@with_settings("cache", "mirrors")
def pull(settings: Settings, name: str) -> None:
    """Pull an image or a whole index from its registry into the cache."""
    from farm.cache.transfer import pull_all
    from farm.registry.client import open_registry

    reference = Reference.parse(name).or_latest()
    with open_registry(settings, mirrored=True) as registry:
        descriptor = pull_all(Cache(settings.cache), registry, reference)
    click.echo(f"{reference}  {descriptor.digest}")


@command.command("push")
@click.argument("name")
@with_settings("cache")
def push(settings: Settings, name: str) -> None:
    """Push an image from the cache: each architecture's image, then the index. Signs nothing."""
    from farm.cache.transfer import push_all
    from farm.registry.client import open_registry

    reference = Reference.parse(name).or_latest()
    with open_registry(settings) as registry:
        moved = push_all(Cache(settings.cache), registry, reference)
    blobs = ", ".join(f"{count} {how}" for how, count in sorted(moved.blobs.items()))
    click.echo(f"{reference}  {moved.root.digest}  (blobs: {blobs})")


@command.command("rm")
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@with_settings("cache")
def rm(settings: Settings, names: tuple[str, ...]) -> None:
    """Remove names from the cache. `farm cache prune` then frees their blobs."""
    from farm.cache import maintenance

    removed = maintenance.remove(Cache(settings.cache), [Reference.parse(name) for name in names])
    if not removed:
        raise CacheError(f"not in the cache: {', '.join(names)}", hint="farm cache ls lists the names")
    for name in removed:
        click.echo(f"{name}  removed")


@command.command("prune")
@with_settings("cache")
@click.option(
    "--grace",
    default=3600.0,
    show_default=True,
    metavar="SECONDS",
    help="Keep younger blobs: another process may be about to name them.",
)
@json_option
def prune(settings: Settings, grace: float, as_json: bool) -> None:
    """Remove blobs that no name needs, and files that killed writers left."""
    from farm.cache import maintenance

    pruned = maintenance.prune(Cache(settings.cache), grace=grace)
    line = f"{pruned.files} files removed, {format_bytes(pruned.size)} freed"
    print_answer({"files": pruned.files, "bytes": pruned.size}, [line], as_json=as_json)


@command.command("verify")
@with_settings("cache")
@json_option
def verify(settings: Settings, as_json: bool) -> int:
    """Read every byte of the cache, and print what is damaged or missing. Exits with 1 if anything is."""
    from farm.cache import maintenance

    cache = Cache(settings.cache)
    problems, count = maintenance.verify(cache), len(cache.names())
    lines = [f"{problem.name or '(no name)'}  {problem.what}" for problem in problems]
    data = [problem.to_json() for problem in problems]
    print_answer(data, lines or [f"{count} names, no problems"], as_json=as_json)
    return 1 if problems else 0


@command.command("clean")
@with_settings("cache")
@click.option(
    "--published-only", is_flag=True, help="Remove only images that the registry holds with the same digest."
)
def clean(settings: Settings, published_only: bool) -> None:
    """Empty the cache."""
    from farm.cache import maintenance
    from farm.cache.transfer import published_names
    from farm.registry.client import open_registry

    cache = Cache(settings.cache)
    if published_only:
        with open_registry(settings) as registry:
            removed = maintenance.remove(cache, published_names(cache, registry))
        pruned = maintenance.prune(cache)
        click.echo(f"{len(removed)} names removed, {format_bytes(pruned.size)} freed")
        return
    pruned = maintenance.clean(cache)
    click.echo(f"{settings.cache}: emptied, {format_bytes(pruned.size)} freed")


@contextmanager
def _open(name: str, mode: Literal["rb", "wb"]) -> Iterator[IO[bytes]]:
    """Open a file; - is standard input or output."""
    if name == "-":
        yield (sys.stdin if mode == "rb" else sys.stdout).buffer
        return
    try:
        with Path(name).open(mode) as file:
            yield file
    except OSError as error:
        action = "read" if mode == "rb" else "written"
        raise InputError(f"{name}: cannot be {action}: {error.strerror}") from error
