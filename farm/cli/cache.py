"""farm cache: list, check and clean the LinuxKit cache, and move images in and out of it."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Literal

import click

from farm.cache.layout import Cache
from farm.cli.cache_verb import CacheGroup, arch_of_platform, cache_verb
from farm.cli.options import json_option
from farm.cli.output import print_answer, print_note, say
from farm.errors import CacheError, InputError
from farm.model import Reference
from farm.syntax.quantities import format_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from farm.model import Descriptor
    from farm.settings import Settings

_FORMATS = ("oci", "docker", "filesystem")
_published_only = click.option(
    "--published-only", is_flag=True, help="Remove only images that the registry holds with the same digest."
)


@click.group("cache", cls=CacheGroup)
def command() -> None:
    """Manage the images in the LinuxKit cache.

    It is the directory that `linuxkit` itself reads and writes: ~/.linuxkit/cache, --cache or LINUXKIT_CACHE.
    """


@cache_verb(command, "ls")
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


@cache_verb(command, "export")
@click.argument("name")
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
@click.option("--platform", metavar="linux/ARCH", help="The same as --arch, as linuxkit has it.")
@click.option("--name", "new_name", metavar="NAME", help="Name of the image in the archive.")
def export(
    settings: Settings,
    name: str,
    outfile: str,
    form: str,
    arch: str | None,
    platform: str | None,
    new_name: str | None,
) -> None:
    """Write an image of the cache to a file."""
    from farm.cache.archive_export import archive, root_for
    from farm.cache.filesystem import flatten

    if arch and platform:
        raise InputError("--arch and --platform exclude each other", hint="give only one of them")
    cache, reference = Cache(settings.cache), Reference.parse(name).or_latest()
    arch = arch_of_platform(platform) if platform else arch
    root = root_for(cache, reference, arch)
    with _open(outfile, "wb") as file:
        if form == "filesystem":
            flatten(cache.blobs, root, file)
            return
        names = [Reference.parse(new_name).or_latest() if new_name else reference]
        for piece in archive(cache.blobs, root, names):
            file.write(piece)


@cache_verb(command, "import")
@click.argument("file")
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


@cache_verb(command, "pull")
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
def pull(settings: Settings, names: tuple[str, ...]) -> None:
    """Pull images or whole indexes from their registries into the cache."""
    from farm.cache.transfer import pull_all
    from farm.registry.client import open_registry

    references = [Reference.parse(name).or_latest() for name in names]
    with open_registry(settings, mirrored=True) as registry:
        for reference in references:
            descriptor = pull_all(Cache(settings.cache), registry, reference)
            say(f"{reference}  {descriptor.digest}")


@cache_verb(command, "push")
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@click.option("--remote-name", metavar="NAME", help="Push the image under this name.")
@click.option("--override", is_flag=True, help="Replace images of the registry that are others.")
@click.option("--with-arch-tags", is_flag=True, help="No effect: NAME-ARCH is always pushed.")
def push(
    settings: Settings, names: tuple[str, ...], remote_name: str | None, override: bool, with_arch_tags: bool
) -> None:
    """Push images from the cache: each architecture's image, then the index. Signs nothing.

    What the registry lacks is added. An architecture whose image there is another is left as it is.
    """
    from farm.cache.transfer import push_all
    from farm.registry.client import open_registry

    if remote_name and len(names) > 1:
        raise InputError("--remote-name: several images cannot have one name", hint="push one at a time")
    if with_arch_tags:
        print_note("--with-arch-tags: the tag of each architecture is always pushed")
    references = [Reference.parse(name).or_latest() for name in names]
    remote = Reference.parse(remote_name).or_latest() if remote_name else None
    with open_registry(settings) as registry:
        for reference in references:
            moved = push_all(Cache(settings.cache), registry, reference, remote, override=override)
            for kept in moved.kept:
                print_note(f"{kept.familiar}: the registry has another image; --override replaces it")
            blobs = ", ".join(f"{count} {how}" for how, count in sorted(moved.blobs.items()))
            say(f"{remote or reference}  {moved.root.digest}  (blobs: {blobs or 'none'})")


@cache_verb(command, "rm")
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@_published_only
def rm(settings: Settings, names: tuple[str, ...], published_only: bool) -> None:
    """Remove names from the cache. `farm cache prune` then frees their blobs."""
    from farm.cache import maintenance

    cache, chosen = Cache(settings.cache), [Reference.parse(name).or_latest() for name in names]
    present = [reference for reference in chosen if cache.find(reference)]
    if not present:
        raise CacheError(f"not in the cache: {', '.join(names)}", hint="farm cache ls lists the names")
    published = _published(settings, cache, present) if published_only else present
    for reference in present:
        if reference not in published:
            print_note(f"{reference}: kept, the registry does not have the same image")
    for name in maintenance.remove(cache, published):
        say(f"{name}  removed")


@cache_verb(command, "prune")
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


@cache_verb(command, "verify")
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


@cache_verb(command, "clean")
@_published_only
def clean(settings: Settings, published_only: bool) -> None:
    """Empty the cache."""
    from farm.cache import maintenance

    cache = Cache(settings.cache)
    if published_only:
        removed = maintenance.remove(cache, _published(settings, cache))
        pruned = maintenance.prune(cache)
        say(f"{len(removed)} names removed, {format_bytes(pruned.size)} freed")
        return
    pruned = maintenance.clean(cache)
    say(f"{settings.cache}: emptied, {format_bytes(pruned.size)} freed")


def _published(
    settings: Settings, cache: Cache, chosen: Sequence[Reference] | None = None
) -> list[Reference]:
    from farm.cache.transfer import published_names
    from farm.registry.client import open_registry

    with open_registry(settings) as registry:
        return published_names(cache, registry, chosen)


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
