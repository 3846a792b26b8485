"""farm show-tag: the tags of packages, as `linuxkit pkg show-tag` prints them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from farm.cli.options import json_option, print_json, tag_options, with_settings

if TYPE_CHECKING:
    from farm.package.tag_options import TagOptions
    from farm.settings import Settings


@click.command("show-tag")
@click.argument("directories", nargs=-1, required=True, metavar="DIR...")
@with_settings("org")
@tag_options
@click.option("--canonical", is_flag=True, help="Print the registry's host too: docker.io/linuxkit/foo:HASH.")
@json_option
def command(
    settings: Settings,  # noqa: ARG001 - every verb is handed them
    directories: tuple[str, ...],
    tags: TagOptions,
    canonical: bool,
    as_json: bool,
) -> None:
    """Print the tag of each package directory, one a line.

    The tag is the git tree hash of the directory. Uncommitted changes show as HASH-dirty-XXXXXXX.
    """
    print_tags(directories, tags, canonical=canonical, as_json=as_json)


def print_tags(
    directories: tuple[str, ...], tags: TagOptions, *, canonical: bool, as_json: bool = False
) -> None:
    """Print the tags of packages."""
    from farm.package.read_packages import read_packages  # noqa: PLC0415 - git is imported when a package is read

    read = read_packages(directories, tags, apart=True)
    found = {Path(package.directory).resolve(): package for package in read}
    packages = [found[Path(directory).resolve()] for directory in directories]
    if as_json:
        print_json(
            [
                {
                    "package": package.image,
                    "directory": package.directory,
                    "reference": str(package.reference),
                    "tag": package.reference.tag,
                    "hash": package.hash,
                    "dirty": package.dirty,
                    "commit": package.commit,
                }
                for package in packages
            ]
        )
        return
    for package in packages:
        click.echo(str(package.reference) if canonical else package.reference.familiar)
