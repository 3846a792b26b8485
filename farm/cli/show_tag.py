"""farm show-tag: the tags of packages, as `linuxkit pkg show-tag` prints them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from farm.cli.options import json_option, tag_options, with_settings
from farm.cli.output import print_json

if TYPE_CHECKING:
    from farm.model import Package
    from farm.package.tags import TagOptions
    from farm.settings import Settings


@click.command("show-tag")
@click.argument("directories", nargs=-1, required=True, metavar="DIR...")
@with_settings("org")
@tag_options
@click.option(
    "--canonical", is_flag=True, help="Include the registry's host, as in docker.io/linuxkit/foo:HASH."
)
@json_option
def command(
    _settings: Settings, directories: tuple[str, ...], tags: TagOptions, canonical: bool, as_json: bool
) -> None:
    """Print the tag of each package directory, one a line.

    The tag is the git tree hash of the directory. With uncommitted changes it is HASH-dirty-XXXXXXX.
    """
    print_tags(directories, tags, canonical=canonical, as_json=as_json)


def print_tags(
    directories: tuple[str, ...], tags: TagOptions, *, canonical: bool, as_json: bool = False
) -> None:
    """Print the tags of packages."""
    from farm.package.read_packages import read_packages

    by_path = {
        Path(package.directory).resolve(): package for package in read_packages(directories, tags, apart=True)
    }
    packages = [by_path[Path(directory).resolve()] for directory in directories]
    if as_json:
        print_json([_to_json(package) for package in packages])
        return
    for package in packages:
        click.echo(str(package.reference) if canonical else package.reference.familiar)


def _to_json(package: Package) -> dict[str, Any]:
    return {
        "package": package.image,
        "directory": package.directory,
        "reference": str(package.reference),
        "tag": package.reference.tag,
        "hash": package.hash,
        "dirty": package.dirty,
        "commit": package.commit,
    }
